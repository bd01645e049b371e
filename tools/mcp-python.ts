/** Sets the official Python SDK for MCP up in the cache folder, one folder a version. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** The last of the older protocol era, and one of both eras. */
export const VERSIONS = ['1.30.0', '2.3.0'] as const;
export type Version = (typeof VERSIONS)[number];

const run = promisify(execFile);
const folderOf = (version: Version) =>
  join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'onbehalf', `mcp-python-${version}`);

export const pythonOf = (version: Version) => join(folderOf(version), 'bin', 'python');

/** Installs one version once (about ten seconds). Throws where there is no Python or no package index. */
export async function setUpPythonSdk(version: Version): Promise<void> {
  const folder = folderOf(version);
  if (existsSync(join(folder, '.ready'))) return;
  await rm(folder, { recursive: true, force: true });
  await mkdir(join(folder, '..'), { recursive: true });
  const options = { maxBuffer: 64 << 20 };
  await run('python3', ['-m', 'venv', folder], options);
  const packages = [`mcp==${version}`, 'pyjwt[crypto]==2.10.1'];
  await run(
    pythonOf(version),
    ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...packages],
    options,
  );
  await writeFile(join(folder, '.ready.new'), version);
  await rename(join(folder, '.ready.new'), join(folder, '.ready'));
}
