import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { dirname, join, normalize, sep } from 'node:path';
import { test } from 'node:test';

const ROOT = join(import.meta.dirname, '..', '..');
const PLATFORM = 'packages/platform/src/';

/**
 * Who may import whom; the same table stands in ARCHITECTURE.md. `(types)`: types only. A room declares what it needs
 * from one that is not on its list as a small interface, and main hands it in.
 */
const MAY: Readonly<Record<string, string>> = {
  'secret-value': '',
  resources: '',
  egress: '',
  'token-exchange': 'secret-value',
  access: 'secret-value',
  client: 'resources',
  store: 'resources',
  audit: 'resources secret-value egress store',
  vault: 'resources secret-value egress store audit',
  limits: 'resources store',
  people: 'resources secret-value access token-exchange(types) store audit limits',
  issuer: 'resources secret-value access token-exchange(types) egress store vault audit people limits',
  login: 'resources secret-value access token-exchange(types) egress store vault audit people limits',
  models: 'resources secret-value egress store vault audit',
  tools: 'resources secret-value token-exchange egress store vault audit',
  runtime: 'resources secret-value token-exchange(types) models tools store audit limits',
  policy: 'resources secret-value access token-exchange(types) people store egress vault',
  control: 'resources secret-value access token-exchange config(types) policy store vault audit tools models limits',
  config: 'resources secret-value',
  http: 'resources secret-value access token-exchange egress store audit vault limits people issuer login models tools runtime policy control config',
  cli: 'resources client platform',
  console: 'resources client',
};
const PLATFORM_ROOMS = new Set(
  'egress store audit vault limits people issuer login models tools runtime policy control http'.split(' '),
);
/** Entry points of the platform: they build rooms, and only they may. */
const ROOTS = new Set([
  'main.ts',
  'address-file.ts',
  'admin-socket.ts',
  'audit-witness.ts',
  'explain-start.ts',
  'up.ts',
  'offline.ts',
  'start-checks.ts',
  'start-error.ts',
  'port-holder.ts',
]);
const ENTRIES_FOR_CLI = new Set([
  '@onbehalf/platform/up',
  '@onbehalf/platform/offline',
  '@onbehalf/platform/supervisor',
]);

const sources = globSync('packages/*/src/**/*.{ts,tsx}', { cwd: ROOT }).map((path) => path.split(sep).join('/'));

function roomOf(path: string): string {
  if (!path.startsWith(PLATFORM)) return path.split('/')[1] ?? '';
  const rest = path.slice(PLATFORM.length);
  if (rest === 'config.ts') return 'config';
  return ROOTS.has(rest) ? 'root' : (rest.split('/')[0] ?? '');
}

interface Import {
  from: string;
  to: string;
  /** A repository path for relative imports, else undefined. */
  file: string | undefined;
  typeOnly: boolean;
}

function importsOf(path: string): Import[] {
  const text = readFileSync(join(ROOT, path), 'utf8');
  const pattern =
    /(?:^|\n)\s*(?:import|export)\s+(type\s+)?(?:[^'"`;]*?\sfrom\s+)?['"]([^'"]+)['"]|import\(\s*['"]([^'"]+)['"]\s*\)/g;
  return [...text.matchAll(pattern)].map(([, type, first, second]) => {
    const to = first ?? second ?? '';
    const file = to.startsWith('.')
      ? normalize(join(dirname(path), to))
          .split(sep)
          .join('/')
      : undefined;
    return { from: path, to, file, typeOnly: type !== undefined };
  });
}

const imports = sources.flatMap(importsOf);

test('every import stays within the walls', () => {
  const broken: string[] = [];
  for (const { from, to, file, typeOnly } of imports) {
    const room = roomOf(from);
    const target =
      file !== undefined ? roomOf(file) : to.startsWith('@onbehalf/') ? (to.split('/')[1] ?? '') : undefined;
    if (target === undefined || target === room || room === 'root') continue;
    const may = MAY[room]?.split(/\s+/) ?? [];
    const allowed = may.includes(target) || (typeOnly && may.includes(`${target}(types)`));
    const entry = room !== 'cli' || target !== 'platform' || ENTRIES_FOR_CLI.has(to);
    if (!allowed || !entry) broken.push(`${from} imports ${to}`);
  }
  assert.deepEqual(broken, []);
});

test('a room of the platform is entered by its index alone', () => {
  const broken = imports.filter(
    ({ from, file }) =>
      file?.startsWith(PLATFORM) &&
      roomOf(file) !== roomOf(from) &&
      PLATFORM_ROOMS.has(roomOf(file)) &&
      !file.endsWith(`/${roomOf(file)}/index.ts`),
  );
  assert.deepEqual(
    broken.map(({ from, to }) => `${from} imports ${to}`),
    [],
  );
});

test('every room has one index.ts, and it opens with a paragraph that says what it never does', () => {
  const rooms = [...PLATFORM_ROOMS].map((room) => `${PLATFORM}${room}`);
  const packages = ['secret-value', 'resources', 'token-exchange', 'access', 'client'].map(
    (name) => `packages/${name}/src`,
  );
  for (const folder of [...rooms, ...packages]) {
    const found = sources.filter(
      (path) =>
        path.startsWith(`${folder}/`) &&
        path.endsWith('/index.ts') &&
        !/\/(testing|routes|profiles)\/index\.ts$/.test(path),
    );
    assert.deepEqual(found, [`${folder}/index.ts`]);
    const text = readFileSync(join(ROOT, folder, 'index.ts'), 'utf8');
    assert.match(text, /^\/\*\*[\s\S]+?\*\//, `${folder}/index.ts has no paragraph`);
    assert.match(
      text.slice(0, text.indexOf('*/')),
      /never|nothing/,
      `${folder}/index.ts does not say what it never does`,
    );
  }
});

/** Ways from somewhere back to the same place. */
function circles(edges: readonly (readonly [from: string, to: string])[]): string[] {
  const graph = new Map<string, Set<string>>();
  for (const [from, to] of edges) graph.set(from, (graph.get(from) ?? new Set()).add(to));
  const state = new Map<string, 'open' | 'done'>();
  const found: string[] = [];
  const visit = (place: string, trail: readonly string[]) => {
    if (state.get(place) === 'done') return;
    if (state.get(place) === 'open') {
      found.push([...trail.slice(trail.indexOf(place)), place].join(' → '));
      return;
    }
    state.set(place, 'open');
    for (const next of graph.get(place) ?? []) visit(next, [...trail, place]);
    state.set(place, 'done');
  };
  for (const place of graph.keys()) visit(place, []);
  return found;
}

test('there is no import cycle, of types neither', () => {
  const edges = imports.flatMap(({ from, file }): [string, string][] =>
    file !== undefined && existsSync(join(ROOT, file)) ? [[from, file]] : [],
  );
  assert.deepEqual(circles(edges), []);
});

test('the folders inside a room do not go in circles', () => {
  // A folder is one place; a file beside it is a place of its own.
  const placeIn = (path: string) => {
    const [room, rest = ''] = [path.slice(0, roomStart(path)), path.slice(roomStart(path))];
    return `${room}${rest.split('/')[0]}`;
  };
  const edges = imports.flatMap(({ from, file }): [string, string][] => {
    if (file === undefined || roomStart(from) < 0 || roomOf(file) !== roomOf(from)) return [];
    const [one, other] = [placeIn(from), placeIn(file)];
    return one === other || one.endsWith('/index.ts') ? [] : [[one, other]];
  });
  assert.deepEqual(circles(edges), []);
});

/** Where the part of a path begins that lies inside its room; negative outside of rooms. */
function roomStart(path: string): number {
  const room = `${PLATFORM}${roomOf(path)}/`;
  if (path.startsWith(room)) return room.length;
  const source = /^packages\/[^/]+\/src\//.exec(path)?.[0];
  return source === undefined || path.startsWith(PLATFORM) ? -1 : source.length;
}

test('every dependency is declared where it is used', () => {
  const builtins = new Set(builtinModules);
  const missing = new Set<string>();
  for (const { from, to, file } of imports) {
    if (file !== undefined || to.startsWith('node:') || builtins.has(to) || to.startsWith('virtual:')) continue;
    const name = to.startsWith('@') ? to.split('/').slice(0, 2).join('/') : (to.split('/')[0] ?? '');
    const manifest = JSON.parse(
      readFileSync(join(ROOT, 'packages', from.split('/')[1] ?? '', 'package.json'), 'utf8'),
    ) as Record<string, Record<string, string> | undefined>;
    if (
      !manifest.dependencies?.[name] &&
      !manifest.peerDependencies?.[name] &&
      !manifest.devDependencies?.[name] &&
      (manifest as { name?: unknown }).name !== name
    )
      missing.add(`${from.split('/')[1]}: ${name}`);
  }
  assert.deepEqual([...missing], []);
});

test('only config.ts reads the environment, in the platform', () => {
  const readers = sources.filter(
    (path) =>
      path.startsWith(PLATFORM) &&
      roomOf(path) !== 'config' &&
      /process\.env/.test(readFileSync(join(ROOT, path), 'utf8')),
  );
  assert.deepEqual(readers, []);
});

test('the browser part uses no Node API', () => {
  const users = imports.filter(
    ({ from, to }) =>
      /^packages\/(resources|client|console|secret-value)\/src\//.test(from) &&
      (to.startsWith('node:') || builtinModules.includes(to)),
  );
  assert.deepEqual(
    users.map(({ from, to }) => `${from} imports ${to}`),
    [],
  );
});

test('files are short: none over 500 lines, nine in ten under 300, half under 120', () => {
  const lengths = sources.map((path) => ({ path, lines: readFileSync(join(ROOT, path), 'utf8').split('\n').length }));
  assert.deepEqual(
    lengths.filter(({ lines }) => lines > 500).map(({ path, lines }) => `${path}: ${lines}`),
    [],
  );
  const sorted = lengths.map(({ lines }) => lines).sort((a, b) => a - b);
  assert.ok((sorted[Math.floor(sorted.length * 0.9)] ?? 0) <= 300, 'one in ten files has over 300 lines');
  assert.ok((sorted[Math.floor(sorted.length / 2)] ?? 0) <= 120, 'half of the files have over 120 lines');
});

test('no name says nothing, and no type is any', () => {
  const all = globSync('{packages,examples,tests,bench,tools}/**/*.{ts,tsx,mjs}', {
    cwd: ROOT,
    exclude: (path) => /node_modules|dist/.test(String(path)),
  });
  assert.deepEqual(
    all.filter((path) => /(^|\/)(utils?|helpers?|common|misc)(\/|\.)/.test(path)),
    [],
  );
  const loose = all.filter(
    (path) =>
      !path.includes('.test.') &&
      /(:|<|\bas) any\b|@ts-ignore|@ts-nocheck|\b(TODO|FIXME|XXX)\b/.test(readFileSync(join(ROOT, path), 'utf8')),
  );
  assert.deepEqual(loose, []);
});
