/**
 * The demo: starts the server and two tool servers, lets an agent act for two people, and shows what the tool servers saw.
 *   start.ts                 stays up, on http://localhost:8484, with its data in .onbehalf/
 *   start.ts --once --json   in a temporary folder on free ports; prints one JSON object as the last line
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { explainStart, up } from '@onbehalf/platform/up';
import type { TurnResult } from '@onbehalf/resources';
import { adminCall, runTurn } from './api.ts';
import { freePort } from './free-port.ts';
import { dropDemoPlanner, modelProvider, prepare, type ToolServers, USERS, wantedPorts } from './prepare.ts';
import { type DemoTurn, printTurn, problemsOf } from './report.ts';
import { signIn } from './sign-in.ts';
import { startToolProcess, type ToolProcess } from './tool-processes.ts';

const MESSAGE = 'What have I ordered, show the details of the latest one, and how many vacation days do I have left?';
const HELP = `usage: npm start [-- OPTIONS]     the demo, which stays up on http://localhost:8484
       npm run demo [-- --json]   once, in a temporary folder on free ports

  --once         end when both people have had their turn, and keep nothing
  --json         one JSON object as the last line
  --port N       instead of 8484, or the one that the data directory remembers
  --host ADDRESS where to listen

ONBEHALF_DATA_DIR is the data directory, .onbehalf/ by default.
`;

/** The options, or what is wrong with them; the program ends over either of `--help` and a mistake. */
function read() {
  try {
    return parseArgs(OPTIONS);
  } catch (error) {
    process.stderr.write(`${(error as Error).message.split('. ')[0]}\n\n${HELP}`);
    process.exit(2);
  }
}

const OPTIONS = {
  args: process.argv.slice(2),
  options: {
    help: { type: 'boolean', short: 'h', default: false },
    once: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    port: { type: 'string' },
    host: { type: 'string' },
  },
} as const;
const { values } = read();
if (values.help) {
  process.stdout.write(HELP);
  process.exit(0);
}
const say = (line = '') => void (values.json ? process.stderr : process.stdout).write(`${line}\n`);
const started = performance.now();
const cleanups: (() => Promise<unknown>)[] = [];
let cleaning: Promise<void> | undefined;

function cleanUp(): Promise<void> {
  cleaning ??= (async () => {
    for (const clean of cleanups.reverse()) await clean().catch(() => undefined);
  })();
  return cleaning;
}

async function main(): Promise<number> {
  const temporary = values.once;
  const dataDir = temporary
    ? await mkdtemp(join(tmpdir(), 'onbehalf-demo-'))
    : resolve(process.env.ONBEHALF_DATA_DIR || join(import.meta.dirname, '..', '..', '.onbehalf'));
  if (temporary) cleanups.push(() => rm(dataDir, { recursive: true, force: true }));
  const ports = temporary ? { orders: 0, hr: 0 } : wantedPorts(dataDir);
  // A data directory remembers the port that it was made with: it is the issuer's name.
  const wanted = values.port ?? process.env.PORT ?? ports.port ?? 8484;
  const port = temporary && values.port === undefined ? await freePort() : Number(wanted);
  const issuer = `http://localhost:${port}`;
  say('Onbehalf: AI agents that act on behalf of your users, with each user’s authority and nothing more.');
  const withLitellm = !temporary && process.env.LITELLM_BASE_URL !== undefined;
  if (!withLitellm)
    say(
      'The model is the built-in demo planner: rules, no language model. Set LITELLM_BASE_URL and LITELLM_MASTER_KEY for a real one.',
    );
  const keys = ['OPENAI_API_KEY', 'ANTHROPIC_API_KEY', 'GEMINI_API_KEY'].filter(
    (name) => process.env[name] !== undefined,
  );
  if (keys.length > 0 && !temporary)
    say(
      `Found ${keys.join(', ')}: not used, because they cost money; refer to one in a ModelConfig with credentialRef: {env: NAME}.`,
    );

  const orders = await startToolProcess('orders', issuer, ports.orders);
  cleanups.push(orders.stop);
  const hr = await startToolProcess('hr', issuer, ports.hr);
  cleanups.push(hr.stop);
  say(`Tool servers, each its own program: ${orders.url} and ${hr.url}`);

  const { LITELLM_BASE_URL: _url, LITELLM_MASTER_KEY: _key, LITELLM_MODEL: _model, ...plain } = process.env;
  const options: Parameters<typeof up>[0] = {
    flags: { port, dataDir, publicUrl: issuer, ...(values.host !== undefined && { host: values.host }) },
    env: {
      ONBEHALF_PRIVATE_NETWORKS: '127.0.0.1/32',
      ONBEHALF_LOG_LEVEL: 'warn',
      // A demo leaves nothing in anybody's home.
      ONBEHALF_AUDIT_WITNESS: join(dataDir, 'witness.jsonl'),
      ...(withLitellm ? process.env : plain),
    },
    print: say,
  };
  let server = await up(options);
  cleanups.push(() => server.close());
  if (withLitellm && (await dropDemoPlanner(server.adminSocket))) {
    say('The demo planner of an earlier start makes way for LiteLLM.');
    await server.close();
    server = await up(options);
  }
  const readyMs = Math.round(performance.now() - started);
  say(`Ready on ${server.url} after ${readyMs} ms`);
  const { file, asShipped } = await prepare(server.adminSocket, dataDir, port, { orders, hr });

  const provider = await modelProvider(server.adminSocket);
  let checked: Awaited<ReturnType<typeof check>> | undefined;
  if (provider === 'Demo' && asShipped) {
    checked = await check(server, { orders, hr });
    for (const problem of checked.problems) say(`NOT AS IT SHOULD BE: ${problem}`);
  } else if (provider === 'Demo') say('What you have changed is kept; so the demo does not try what it was made for.');
  else say(`The model is ${provider ?? 'none'}: nothing is asked of it before you do, since it may cost money.`);
  if (temporary) {
    await cleanUp();
    if (values.json) process.stdout.write(`${JSON.stringify({ readyMs, ...checked?.summary })}\n`);
    return checked?.problems.length === 0 ? 0 : 1;
  }
  say();
  say(`Console: ${server.url}/ui/ . Sign in with one of these links (10 minutes, one use):`);
  for (const { subject, role } of USERS)
    say(`  ${`${subject} (${role})`.padEnd(19)} ${await loginLink(server.adminSocket, subject)}`);
  sayHowToUse(server.url, dataDir, file);
  await new Promise<void>((done) => {
    process.once('SIGINT', () => done());
    process.once('SIGTERM', () => done());
  });
  await cleanUp();
  return 0;
}

/** What the command line needs to find this server and not another. */
function sayHowToUse(url: string, dataDir: string, file: string): void {
  const root = process.cwd();
  if (dataDir === join(root, '.onbehalf'))
    say('Command line: `npx onbehalf …` in this folder, in another terminal, finds this server.');
  else say(`Command line, in another terminal, in this folder: export ONBEHALF_DATA_DIR=${dataDir}`);
  say(`Elsewhere: onbehalf login --server ${url}, which is remembered.`);
  if (relative(root, file) !== join('examples', 'demo.yaml'))
    say(`The usual ports of the tool servers are taken: what README.md does with examples/demo.yaml, do with ${file}`);
  say('Another link: npx onbehalf login-link --user alice');
  say('What to try next: "Use it" in README.md. Ctrl-C ends everything that was started here.');
}

/**
 * One turn as each of two people, and what the tool servers saw of it. The planner does what it is told: with it, the
 * demo knows what is right.
 */
async function check(server: { url: string; adminSocket: string }, { orders, hr }: ToolServers) {
  const before = await tokenServiceRequests(server.adminSocket);
  const turns: DemoTurn[] = [];
  for (const user of ['alice', 'bob']) {
    const token = await signIn(server.url, await loginLink(server.adminSocket, user));
    const beforeFirst = (await tokenServiceRequests(server.adminSocket)).exchanges - before.exchanges;
    const marks = { orders: orders.seen.length, hr: hr.seen.length };
    const result = await runTurn(server.url, token, 'assistant', MESSAGE);
    const turn = describe(
      user,
      result,
      { orders: orders.seen.slice(marks.orders), hr: hr.seen.slice(marks.hr) },
      beforeFirst,
    );
    turns.push(turn);
    say();
    for (const line of printTurn(turn, MESSAGE)) say(line);
  }
  const after = await tokenServiceRequests(server.adminSocket);
  const { body: audit } = await adminCall<{ ok: boolean; entries?: number }>(
    server.adminSocket,
    'GET',
    '/audit/verify',
  );
  const tokenRequests = after.exchanges - before.exchanges;
  say();
  say(
    `${tokenRequests} token exchanges for ${turns.reduce((sum, turn) => sum + turn.toolCalls.length, 0)} tool calls; ${audit.entries ?? 0} audit entries, ${audit.ok ? 'the chain verifies' : 'THE CHAIN IS BROKEN'}.`,
  );
  const summary = {
    turns: turns.map(({ text: _text, exchangesBefore: _before, ...turn }) => turn),
    tokenServiceRequests: tokenRequests,
    workloadTokenRequests: after.workloads,
    audit: { entries: audit.entries ?? 0, verified: audit.ok },
  };
  return { summary, problems: problemsOf(turns, summary) };
}

async function loginLink(socket: string, user: string): Promise<string> {
  const { status, body } = await adminCall<{ url?: string }>(socket, 'POST', '/login-links', { user });
  if (status !== 201 || body.url === undefined) throw new Error(`no login link for ${user}: ${JSON.stringify(body)}`);
  return body.url;
}

/** Counted at the token service, not at us who ask it. */
async function tokenServiceRequests(socket: string) {
  const { body } = await adminCall<{ embedded: { exchanges: number; workloads: number } }>(socket, 'GET', '/exchanges');
  return body.embedded;
}

/** Joins what the API says of each call with what the tool server saw of it. */
function describe(
  user: string,
  result: TurnResult,
  seen: Record<'orders' | 'hr', ToolProcess['seen']>,
  exchangesBefore: number,
): DemoTurn {
  const queues = { orders: [...seen.orders], hr: [...seen.hr] };
  return {
    user,
    agent: 'default/assistant',
    session: result.session,
    state: result.state,
    ...(result.message !== undefined && { problem: result.message }),
    text: result.text,
    exchangesBefore,
    toolCalls: result.toolCalls.map((call) => {
      const queue = queues[call.server as 'orders' | 'hr'] ?? [];
      const at = queue.findIndex((entry) => entry.tool === call.tool);
      const [entry] = at < 0 ? [] : queue.splice(at, 1);
      return {
        server: call.server,
        tool: call.tool,
        seenByServer: entry
          ? {
              iss: entry.iss,
              sub: entry.sub,
              act: entry.act,
              aud: entry.aud,
              scope: entry.scope,
              lifetimeS: entry.lifetimeS,
            }
          : undefined,
        exchange:
          call.exchange?.result === 'cached' || call.exchange?.result === 'joined'
            ? ('cached' as const)
            : ('exchanged' as const),
        ms: Math.round(call.exchange?.ms ?? 0),
      };
    }),
  };
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`${explainStart(error) ?? (error instanceof Error ? error.message : String(error))}\n`);
  await cleanUp();
  process.exitCode = 1;
}
