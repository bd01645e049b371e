/**
 * Makes the package that people install: JavaScript and types, with the private package `secret-value` inside, so that
 * nothing is needed but `jose` and `oauth4webapi`. `node packages/token-exchange/build.ts` leaves it in `dist/package`.
 */
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const here = import.meta.dirname;
const root = join(here, '..', '..');
const BUNDLED = '@onbehalf/secret-value';

interface Manifest {
  exports: Record<string, Record<string, string>>;
  dependencies: Record<string, string>;
  [field: string]: unknown;
}

/** Writes the package to the folder `out`, which it empties first. */
export async function buildPackage(out: string): Promise<void> {
  // Below this folder, so that the compiler finds what the sources import.
  const staging = join(here, 'dist', `.build-${randomUUID()}`);
  const sources = join(staging, 'src');
  try {
    await cp(join(here, 'src'), sources, { recursive: true });
    await cp(join(here, '..', 'secret-value', 'src'), join(sources, 'secret-value'), { recursive: true });
    await bundle(sources);
    await rm(out, { recursive: true, force: true });
    await mkdir(join(out, 'dist'), { recursive: true });
    await compile(staging, join(out, 'dist'), { removeComments: true });
    await compile(staging, join(out, 'dist'), { declaration: true, emitDeclarationOnly: true });
    await cp(join(here, 'README.md'), join(out, 'README.md'));
    await cp(join(root, 'LICENSE'), join(out, 'LICENSE'));
    await writeFile(join(out, 'package.json'), `${JSON.stringify(await manifest(), undefined, 2)}\n`);
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

/** Every import of the private package becomes one of the copy beside it. */
async function bundle(sources: string): Promise<void> {
  for (const entry of await readdir(sources, { recursive: true })) {
    if (!entry.endsWith('.ts')) continue;
    const file = join(sources, entry);
    const path = relative(dirname(file), join(sources, 'secret-value', 'index.ts'));
    const text = await readFile(file, 'utf8');
    await writeFile(file, text.replaceAll(`'${BUNDLED}'`, `'${path.startsWith('.') ? path : `./${path}`}'`));
  }
}

async function compile(staging: string, outDir: string, options: Record<string, boolean>): Promise<void> {
  const config = join(staging, 'tsconfig.json');
  const compilerOptions = {
    ...options,
    noEmit: false,
    // What Node 20 runs and knows.
    target: 'es2022',
    lib: ['es2023', 'esnext.disposable'],
    typeRoots: [join(root, 'node_modules', '@types')],
    rootDir: join(staging, 'src'),
    outDir,
  };
  const extended = relative(staging, join(root, 'tsconfig.base.json'));
  await writeFile(config, JSON.stringify({ extends: extended, compilerOptions, include: ['src/**/*.ts'] }));
  await run(process.execPath, [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', config]);
}

/** Without what only this repository has: conditions that lead to sources, and exact versions. */
async function manifest(): Promise<Manifest> {
  const own = JSON.parse(await readFile(join(here, 'package.json'), 'utf8')) as Manifest;
  const entries = Object.entries(own.exports).map(([name, { types = '', default: code = '' }]) => [
    name,
    { types, default: code },
  ]);
  const needed = Object.entries(own.dependencies)
    .filter(([name]) => name !== BUNDLED)
    .map(([name, version]) => [name, `^${version}`]);
  return {
    ...own,
    files: ['dist'],
    sideEffects: false,
    exports: Object.fromEntries(entries),
    dependencies: Object.fromEntries(needed),
  };
}

if (import.meta.main) await buildPackage(join(here, 'dist', 'package'));
