/**
 * The one entry of every npm script. It runs on any Node from 20 on: installs what is missing, finds the pinned Node 24,
 * and goes on there. Nothing is done twice.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ROOMS } from './coverage.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const [command = 'start', ...args] = process.argv.slice(2);
const SOURCE = ['--conditions=onbehalf-source', '--disable-warning=ExperimentalWarning'];
const say = (line) => process.stderr.write(`${line}\n`);

function run(program, parameters, options = {}) {
  const result = spawnSync(program, parameters, { cwd: root, stdio: 'inherit', ...options });
  if (result.error) throw result.error;
  return result.status ?? 1;
}

function must(what, program, parameters, options) {
  const status = run(program, parameters, options);
  if (status !== 0) {
    say(`${what} failed`);
    process.exit(status);
  }
}

function install() {
  const stamp = join(root, 'node_modules', '.onbehalf-installed');
  const wanted = createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .digest('hex');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return;
  say('Installing the dependencies from the lock file (about a minute, once) …');
  // The output of a script may be read by a machine, so npm's goes to standard error.
  must(
    'npm ci',
    process.platform === 'win32' ? 'npm.cmd' : 'npm',
    ['ci', '--no-audit', '--no-fund', '--loglevel=error'],
    { stdio: ['ignore', 2, 2] },
  );
  writeFileSync(stamp, wanted);
}

function pinnedNode() {
  const pinned = join(root, 'node_modules', `node-linux-${process.arch}`, 'bin', 'node');
  if (existsSync(pinned)) return pinned;
  if (Number(process.versions.node.split('.')[0]) >= 24) return process.execPath;
  say(`Node 24 or newer is needed here; this is ${process.version}. Install it and try again.`);
  process.exit(1);
}

function* files(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      if (!['node_modules', 'dist', 'test'].includes(entry.name)) yield* files(path);
    } else yield path;
  }
}

/** Builds the console when its sources, or what it is built from, have changed. */
function buildConsole(node) {
  const folder = join(root, 'packages', 'console');
  const hash = createHash('sha256').update(readFileSync(join(root, 'package-lock.json')));
  for (const source of [folder, join(root, 'packages', 'client', 'src'), join(root, 'packages', 'resources', 'src')])
    for (const path of [...files(source)].sort()) hash.update(relative(root, path)).update(readFileSync(path));
  const wanted = hash.digest('hex');
  const stamp = join(folder, 'dist', '.built');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return;
  say('Building the console …');
  must(
    'building the console',
    node,
    [join(root, 'node_modules', 'vite', 'bin', 'vite.js'), 'build', '--logLevel', 'warn'],
    { cwd: folder, stdio: ['ignore', 2, 2] },
  );
  mkdirSync(dirname(stamp), { recursive: true });
  writeFileSync(stamp, wanted);
}

/** Debian's Chromium for the browser tests; a test that cannot have it says so, and fails under CI. */
function chromium() {
  if (existsSync('/usr/bin/chromium') || process.platform !== 'linux' || process.getuid?.() !== 0) return;
  say('Installing Chromium for the browser tests …');
  run('apt-get', ['update', '-qq'], { stdio: ['ignore', 2, 2] });
  run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', 'chromium'], { stdio: ['ignore', 2, 2] });
}

function check(environment) {
  const bin = (name) => join(root, 'node_modules', '.bin', name);
  must('the types', bin('tsc'), ['-p', '.'], environment);
  must('the types of the console', bin('tsc'), ['-p', 'packages/console'], environment);
  must('the linter', bin('biome'), ['check', '--error-on-warnings', '.'], environment);
  must('the search for dead code', bin('knip'), [], environment);
}

function testFiles(...folders) {
  return folders
    .flatMap((folder) => (existsSync(join(root, folder)) ? [...walk(join(root, folder))] : []))
    .filter((path) => path.endsWith('.test.ts'))
    .sort();
}

function* walk(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      if (entry.name !== 'node_modules' && entry.name !== 'dist') yield* walk(path);
    } else yield path;
  }
}

install();
const node = pinnedNode();
const env = { ...process.env, PATH: `${dirname(node)}:${process.env.PATH}` };
const environment = { env };
const script = (...parameters) => process.exit(run(node, [...SOURCE, ...parameters], environment));

switch (command) {
  case 'start':
    buildConsole(node);
    script('examples/demo/start.ts', ...args);
    break;
  case 'demo':
    script('examples/demo/start.ts', '--once', ...args);
    break;
  case 'onbehalf':
    script('packages/cli/src/main.ts', ...args);
    break;
  case 'check':
    check(environment);
    break;
  case 'reference':
    script('tools/reference.ts');
    break;
  case 'bench':
    script('bench/main.ts', ...args);
    break;
  case 'test': {
    buildConsole(node);
    chromium();
    check(environment);
    const packages = readdirSync(join(root, 'packages')).map((name) => `packages/${name}/test`);
    const selected = args.filter((argument) => argument.endsWith('.test.ts'));
    const runner = (parameters, paths) =>
      paths.length === 0 ? 0 : run(node, [...SOURCE, '--test', ...parameters, ...paths], environment);
    if (selected.length > 0) process.exit(runner([], selected));
    // What a room promises runs in one process; what starts servers and browsers has processes of its own.
    const measured = [
      '--experimental-test-coverage',
      ...Object.values(ROOMS).map((folder) => `--test-coverage-include=${folder}/**`),
      '--test-reporter=./tools/coverage.mjs',
      '--test-reporter-destination=stdout',
    ];
    const unit = runner(['--test-isolation=none', ...measured], testFiles(...packages, 'tests/house'));
    const whole = runner(['--test-concurrency=2'], testFiles('tests/e2e', 'tests/browser', 'tests/outside'));
    process.exit(unit || whole);
    break;
  }
  default:
    say(`unknown command ${command}`);
    process.exit(2);
}
