/** The reference of `@onbehalf/token-exchange`, made of its docstrings; what is not documented there is a failure. */
import { execFile } from 'node:child_process';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { installApart } from './installed-apart.ts';

const run = promisify(execFile);

/** Its packages: typedoc does not work with the compiler that the repository uses, so it has one of its own. */
export const GENERATOR = join(import.meta.dirname, 'typedoc');
/** Where the pages are, seen from the root of the repository. */
export const PACKAGE_REFERENCE = 'docs/reference/token-exchange';

/**
 * Writes the pages into a folder, all or none. Throws with a line for each export, parameter or property that has no
 * docstring.
 */
export async function writePackageReference(out: string): Promise<void> {
  const installed = join(await installApart(GENERATOR), 'node_modules');
  const program = join(installed, 'typedoc', 'bin', 'typedoc');
  const plugin = join(installed, 'typedoc-plugin-markdown', 'dist', 'index.js');
  // Pages that cannot be made must not take the place of those that are there.
  const made = await mkdtemp(join(tmpdir(), 'onbehalf-reference-'));
  try {
    const settings = ['--options', join(GENERATOR, 'typedoc.json'), '--plugin', plugin, '--out', made];
    const env = { ...process.env, NO_COLOR: '1' };
    await run(process.execPath, [program, ...settings], { cwd: GENERATOR, env }).catch(
      (error: { stdout: string; stderr: string }) => {
        const said = `${error.stdout}${error.stderr}`.split('\n').filter((line) => /^\[(warning|error)\]/.test(line));
        throw new Error(`the reference cannot be made:\n${said.join('\n')}`, { cause: error });
      },
    );
    await rm(out, { recursive: true, force: true });
    await cp(made, out, { recursive: true });
  } finally {
    await rm(made, { recursive: true });
  }
}
