import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, test } from 'node:test';
import { adminCall } from '../../examples/demo/api.ts';
import { freePort } from '../../examples/demo/free-port.ts';
import { createBrowser } from '../../packages/cli/test/browser.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const BIN = join(ROOT, 'packages', 'cli', 'bin', 'onbehalf.mjs');
const ARGS = ['--conditions=onbehalf-source', '--disable-warning=ExperimentalWarning'];

/** `npx onbehalf …` lines of the README's blocks, as a shell would run them. */
const STEPS = [...readFileSync(join(ROOT, 'README.md'), 'utf8').matchAll(/^```sh\n([\s\S]*?)^```$/gm)]
  .flatMap(([, block = '']) => block.split('\n'))
  .filter((line) => line.startsWith('npx onbehalf '));

interface Environment {
  [name: string]: string | undefined;
}

/** What a process prints, while it runs. */
function run(program: string, args: readonly string[], env: Environment) {
  const child = spawn(program, args, {
    cwd: ROOT,
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output = { stdout: '', stderr: '' };
  const listeners = new Set<() => void>();
  for (const stream of ['stdout', 'stderr'] as const)
    child[stream].on('data', (chunk: Buffer) => {
      output[stream] += chunk.toString();
      for (const listener of listeners) listener();
    });
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  return {
    output,
    ended,
    printed: (pattern: RegExp) =>
      new Promise<string>((resolve, reject) => {
        const look = () => {
          const found = pattern.exec(`${output.stdout}\n${output.stderr}`)?.[1];
          if (found !== undefined) resolve(found);
        };
        listeners.add(look);
        look();
        ended.then(() => reject(new Error(`ended without ${pattern}: ${output.stdout}${output.stderr}`)), reject);
      }),
    async stop() {
      child.kill('SIGTERM');
      await ended;
    },
  };
}

/** A demo that stays up, as `npm start` starts it, on a port and a data directory of its own. */
async function startDemo(folder: string, more: Environment = {}) {
  const dataDir = join(folder, 'data');
  const port = await freePort();
  const env = { HOME: folder, XDG_CONFIG_HOME: join(folder, 'config'), ONBEHALF_DATA_DIR: dataDir };
  const start = (changes: Environment = more) =>
    run(process.execPath, [...ARGS, 'examples/demo/start.ts'], { ...env, PORT: String(port), ...changes });
  const demo = start();
  await demo.printed(/(Ctrl-C ends everything)/);
  return { url: `http://localhost:${port}`, dataDir, env, socket: join(dataDir, 'admin.sock'), start, demo };
}

type Demo = Awaited<ReturnType<typeof startDemo>>;

const text = ({ demo }: Demo) => demo.output.stdout;

/** The README's steps with the environment that the demo told: the shell runs them as they stand there. */
async function followReadme(demo: Demo) {
  // The file to apply is another where the usual ports of the tool servers were taken: the start says so.
  const instead = /examples\/demo\.yaml, do with (\S+)/.exec(text(demo))?.[1];
  const env = { ...demo.env, ONBEHALF_DATA_DIR: /export ONBEHALF_DATA_DIR=(\S+)/.exec(text(demo))?.[1] };
  const ran: { line: string; code: number | null; stdout: string; stderr: string }[] = [];
  for (const line of STEPS) {
    const command = line
      .replace('npx onbehalf', `"${process.execPath}" "${BIN}"`)
      .replace('examples/demo.yaml', instead ?? 'examples/demo.yaml');
    const step = run('sh', ['-c', command], env);
    if (line.startsWith('npx onbehalf login ')) {
      const browser = createBrowser(demo.url);
      const link = /root \(ADMIN\)\s+(\S+)/.exec(text(demo))?.[1] ?? '';
      assert.ok((await browser.redeem(link)) < 300);
      browser.open(await step.printed(/(http:\/\/\S+\/oidc\/auth\S+)/));
    }
    ran.push({ line, code: await step.ended, ...step.output });
  }
  return ran;
}

const grantees = async ({ socket }: Demo) => {
  const { body } = await adminCall<{ items: { spec: { to: { principal?: { issuer: string } } } }[] }>(
    socket,
    'GET',
    '/grants',
  );
  return body.items.flatMap(({ spec }) => (spec.to.principal ? [spec.to.principal.issuer] : []));
};
interface Grant {
  metadata: { name: string };
  spec: { on: { kind?: string } };
  status: { conditions: { type: string; status: string }[] };
}
/** Conversations that there are, whoever's. */
function sessionsOf({ dataDir }: Demo): number {
  const database = new DatabaseSync(join(dataDir, 'onbehalf.db'), { readOnly: true });
  try {
    return Number(database.prepare('SELECT count(*) AS n FROM sessions').get()?.n);
  } finally {
    database.close();
  }
}
const serverUrls = async ({ socket }: Demo) => {
  const { body } = await adminCall<{ items: { spec: { url: string } }[] }>(socket, 'GET', '/mcp-servers');
  return body.items.map(({ spec }) => spec.url);
};
describe('the README, on another port and another data directory', () => {
  const folders: string[] = [];
  let one: Demo;
  let two: Demo;
  const folder = async () => {
    const made = await mkdtemp(join(tmpdir(), 'onbehalf-readme-'));
    folders.push(made);
    return made;
  };
  before(async () => {
    one = await startDemo(await folder());
    two = await startDemo(await folder());
  });
  after(async () => {
    await Promise.all([one.demo.stop(), two.demo.stop()]);
    for (const made of folders) await rm(made, { recursive: true, force: true });
  });

  test('two demos run side by side, each with tool servers of its own, and each finds nothing wrong', async () => {
    const urls = [await serverUrls(one), await serverUrls(two)];
    assert.equal(new Set(urls.flat()).size, 4, urls.flat().join(' '));
    for (const demo of [one, two]) {
      assert.doesNotMatch(text(demo), /NOT AS IT SHOULD BE/);
      assert.match(text(demo), /4 token exchanges for 6 tool calls; .*the chain verifies/);
    }
  });

  test('every step does what the README says, at this server and no other, and nobody loses the agent', async () => {
    const before = await Promise.all([serverUrls(one), serverUrls(two)]);
    const steps = await followReadme(two);
    assert.ok(steps.length >= 6, `${steps.length} steps`);
    for (const { line, code, stdout, stderr } of steps) {
      assert.equal(code, 0, `${line}\n${stdout}${stderr}`);
      assert.match(stderr, new RegExp(`^Server (${two.url} \\(it runs on|on ${two.dataDir}, over) `, 'm'), line);
    }
    const applied = steps.find(({ line }) => line.includes(' apply '));
    assert.deepEqual(
      [
        ...new Set(
          applied?.stdout
            .trim()
            .split('\n')
            .map((line) => line.split(' ')[1]),
        ),
      ],
      ['unchanged'],
      applied?.stdout,
    );
    assert.equal(applied?.stderr.trim().split('\n').length, 1, 'nothing is wrong with what was applied');
    assert.deepEqual(await grantees(two), [two.url, two.url]);
    assert.deepEqual(await grantees(one), [one.url, one.url]);
    assert.deepEqual(await Promise.all([serverUrls(one), serverUrls(two)]), before);
    assert.match(steps.find(({ line }) => line.includes('can-i'))?.stdout ?? '', /^yes$/m);
  });

  test('a second start finds everything as it was, also what people have changed; its tool servers are where they were', async () => {
    const urls = await serverUrls(two);
    const gone = await adminCall(two.socket, 'DELETE', '/grants/bob-runs-assistant');
    assert.equal(gone.status, 204);
    await two.demo.stop();
    await assert.rejects(readFile(join(two.dataDir, 'server.json')));
    two.demo = two.start();
    await two.demo.printed(/(Ctrl-C ends everything)/);
    assert.match(text(two), /What you have changed is kept/);
    assert.doesNotMatch(text(two), /NOT AS IT SHOULD BE/);
    assert.deepEqual(await grantees(two), [two.url]);
    assert.deepEqual(await serverUrls(two), urls);
  });

  test('with a model that costs money the start asks it nothing and makes nobody a conversation; people have the model', async () => {
    const asked: string[] = [];
    const litellm = createServer((request, response) => {
      asked.push(`${request.method} ${request.url}`);
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({ object: 'list', data: [{ id: 'gpt-test', object: 'model' }] }));
    }).listen(0, '127.0.0.1');
    await once(litellm, 'listening');
    const { port } = litellm.address() as AddressInfo;
    const before = sessionsOf(one);
    assert.equal(before, 2, 'those of the first start');
    await one.demo.stop();
    one.demo = one.start({ LITELLM_BASE_URL: `http://127.0.0.1:${port}`, LITELLM_MASTER_KEY: 'sk-test-of-the-readme' });
    await one.demo.printed(/(Ctrl-C ends everything)/);
    litellm.closeAllConnections();
    litellm.close();
    assert.doesNotMatch(text(one), /NOT AS IT SHOULD BE|token exchanges for/);
    assert.match(text(one), /nothing is asked of it before you do/);
    assert.deepEqual(
      asked.filter((line) => !line.startsWith('GET ')),
      [],
    );
    assert.equal(sessionsOf(one), before);
    const { body } = await adminCall<{ items: Grant[] }>(one.socket, 'GET', '/grants');
    const onModels = body.items.filter(({ spec }) => spec.on.kind === 'ModelConfig');
    assert.ok(onModels.length >= 3);
    for (const { metadata, status } of onModels)
      assert.equal(status.conditions.find(({ type }) => type === 'Ready')?.status, 'True', metadata.name);
    // And back again.
    await one.demo.stop();
    one.demo = one.start({});
    await one.demo.printed(/(Ctrl-C ends everything)/);
    assert.match(text(one), /4 token exchanges for 6 tool calls/);
    assert.doesNotMatch(text(one), /NOT AS IT SHOULD BE/);
  });
});
