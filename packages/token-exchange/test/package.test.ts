import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { buildPackage } from '../build.ts';

const run = promisify(execFile);
const modules = join(import.meta.dirname, '..', '..', '..', 'node_modules');
const MAX_GZIP = 26_000;

/** A whole program, as somebody writes it who installed the package. */
const PROGRAM = `
import { createIdentityFetch, createTokenExchange, SecretValue, TokenExchangeError } from '@onbehalf/token-exchange';
import { tokenFile } from '@onbehalf/token-exchange/node';
import { startFakeTokenService } from '@onbehalf/token-exchange/testing';

const service = await startFakeTokenService();
const client = { auth: 'SecretBasic', id: 'platform', keyId: '1', secret: SecretValue.of('platform-secret') } as const;
const agent = { uid: 'a', name: 'default/assistant' };
const exchange = createTokenExchange({
  tokenService: { name: 'sts', issuer: service.issuer, profile: 'onbehalf', client },
  actor: service.actor(agent),
  agent,
});
const url = 'https://orders.internal/mcp';
const target = { url, resource: [url], audience: [], scopes: ['orders.read'] };
const subject = await service.user('alice');
const token = await exchange.token({ subject, target });
const aud: readonly string[] | undefined = token.claims?.aud;
const identityFetch: typeof fetch = createIdentityFetch({ exchange, target, subject })(fetch);
const file: () => Promise<SecretValue> = tokenFile('/nowhere');
const error = await file().catch((thrown: unknown) => thrown);
console.log(JSON.stringify([aud, String(token.value), typeof identityFetch, error instanceof TokenExchangeError]));
await service.close();
`;

describe('the package that people install', () => {
  let dir: string;
  let built: string;
  let project: string;
  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'onbehalf-package-'));
    built = join(dir, 'package');
    project = join(dir, 'project');
    await buildPackage(built);
    await mkdir(project);
    await writeFile(join(project, 'package.json'), '{"private": true, "type": "module"}');
    const tarballs = await Promise.all([built, join(modules, 'jose'), join(modules, 'oauth4webapi')].map(pack));
    // Offline: what is not among these three is not there.
    await npm(['install', '--offline', '--no-audit', '--no-fund', ...tarballs], project);
  });
  after(() => rm(dir, { recursive: true, force: true }));

  const npm = (parameters: readonly string[], cwd: string) => run('npm', parameters, { cwd });

  async function pack(folder: string): Promise<string> {
    const { stdout } = await npm(['pack', '--json', '--ignore-scripts', '--pack-destination', dir, folder], dir);
    const [packed] = JSON.parse(stdout) as { filename: string }[];
    return join(dir, packed?.filename ?? '');
  }

  test('nothing else is installed with it, and no source of ours is in it', async () => {
    const installed = (await readdir(join(project, 'node_modules'))).filter((name) => !name.startsWith('.'));
    assert.deepEqual(installed.sort(), ['@onbehalf', 'jose', 'oauth4webapi']);
    assert.deepEqual(await readdir(join(project, 'node_modules', '@onbehalf')), ['token-exchange']);
    const folder = join(project, 'node_modules', '@onbehalf', 'token-exchange');
    const files = await readdir(folder, { recursive: true });
    assert.deepEqual(
      files.filter((name) => !/^dist(\/|$)|^(package\.json|README\.md|LICENSE)$/.test(name)),
      [],
    );
    for (const name of files.filter((file) => /\.(js|d\.ts)$/.test(file))) {
      const text = await readFile(join(folder, name), 'utf8');
      assert.doesNotMatch(text, /@onbehalf\/secret-value|sourceMappingURL/, name);
    }
    const declared = await readFile(join(folder, 'dist', 'types.d.ts'), 'utf8');
    assert.match(declared, /Milliseconds since the epoch/, 'the types have their comments');
    const { exports } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'));
    for (const [entry, { types, default: code }] of Object.entries<{ types: string; default: string }>(exports))
      assert.ok(existsSync(join(folder, types)) && existsSync(join(folder, code)), entry);
  });

  for (const moduleResolution of ['nodenext', 'bundler']) {
    test(`a program against it has types (${moduleResolution}) and runs`, async () => {
      const module = moduleResolution === 'bundler' ? 'esnext' : 'nodenext';
      const compilerOptions = {
        ...{ strict: true, target: 'es2022', module, moduleResolution, lib: ['es2023', 'esnext.disposable', 'dom'] },
        ...{ types: ['node'], typeRoots: [join(modules, '@types')], outDir: moduleResolution },
      };
      await writeFile(join(project, 'program.ts'), PROGRAM);
      await writeFile(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['program.ts'] }));
      const tsc = join(modules, 'typescript', 'bin', 'tsc');
      const { stdout: problems } = await run(process.execPath, [tsc, '-p', project]).catch((error) => error);
      assert.equal(problems, '');
      const { stdout } = await run(process.execPath, [join(project, moduleResolution, 'program.js')], { cwd: project });
      assert.deepEqual(JSON.parse(stdout), [['https://orders.internal/mcp'], '[secret]', 'function', true]);
    });
  }

  test('it runs on Node 20, where there is one', async (t) => {
    const old = await nodeOf(20);
    if (old === undefined) return t.skip('no Node 20 on the PATH');
    const program = PROGRAM.replaceAll(/ as const|: readonly string\[\] \| undefined|: typeof fetch|: unknown/g, '');
    const plain = program.replace(': () => Promise<SecretValue>', '');
    await writeFile(join(project, 'plain.js'), plain);
    const { stdout } = await run(old, ['plain.js'], { cwd: project });
    assert.deepEqual(JSON.parse(stdout), [['https://orders.internal/mcp'], '[secret]', 'function', true]);
  });

  test('it is imported where Node has no built-in modules and no globals but those of the web', async () => {
    const graph = await closure(join(built, 'dist', 'index.js'));
    await writeFile(join(project, 'web.js'), WEB);
    const { stdout } = await run(process.execPath, ['--experimental-vm-modules', '--no-warnings', 'web.js'], {
      cwd: project,
    });
    assert.deepEqual(JSON.parse(stdout), ['function', 'function']);
    assert.ok(graph.size > 20);
  });

  test('the code of the main entry is at most 26 kB, compressed', async (t) => {
    const files = [...(await closure(join(built, 'dist', 'index.js'))).values()];
    const size = gzipSync(files.join('\n'), { level: 9 }).length;
    t.diagnostic(`${size} bytes in ${files.length} files`);
    assert.ok(size <= MAX_GZIP, `${size} bytes`);
  });
});

/** What an entry imports of the package itself, by path. */
async function closure(entry: string, seen = new Map<string, string>()): Promise<Map<string, string>> {
  if (seen.has(entry)) return seen;
  const text = await readFile(entry, 'utf8');
  seen.set(entry, text);
  for (const [, name = ''] of text.matchAll(/\bfrom '(\.[^']+)'/g)) await closure(join(dirname(entry), name), seen);
  return seen;
}

/** The first `node` on the PATH of this major version. */
async function nodeOf(major: number): Promise<string | undefined> {
  for (const folder of (process.env.PATH ?? '').split(':')) {
    const node = join(folder, 'node');
    if (!existsSync(node)) continue;
    const { stdout } = await run(node, ['--version']).catch(() => ({ stdout: '' }));
    if (stdout.startsWith(`v${major}.`)) return node;
  }
  return undefined;
}

/** Links the modules into a realm of its own that has the web's globals alone. */
const WEB = `
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL, fileURLToPath } from 'node:url';
import vm from 'node:vm';

const names = ['URL', 'URLSearchParams', 'Headers', 'Request', 'Response', 'AbortController', 'AbortSignal', 'TextEncoder',
  'TextDecoder', 'ReadableStream', 'crypto', 'CryptoKey', 'fetch', 'setTimeout', 'clearTimeout', 'performance', 'atob', 'btoa',
  'structuredClone', 'DOMException'];
const context = vm.createContext(Object.fromEntries(names.map((name) => [name, globalThis[name]])));
const modules = new Map();
function load(url) {
  if (!modules.has(url)) {
    const source = readFileSync(fileURLToPath(url), 'utf8');
    modules.set(url, new vm.SourceTextModule(source, { context, identifier: url, initializeImportMeta() {} }));
  }
  return modules.get(url);
}
const entry = load(import.meta.resolve('@onbehalf/token-exchange'));
await entry.link((name, { identifier }) => {
  if (name.startsWith('node:')) throw new Error(name + ' is imported by ' + identifier);
  return load(name.startsWith('.') ? new URL(name, identifier).href : import.meta.resolve(name));
});
await entry.evaluate();
console.log(JSON.stringify([typeof entry.namespace.createTokenExchange, typeof entry.namespace.createIdentityFetch]));
`;
