/**
 * Some programs have a lock file of their own, because what they need is no business of the rest: agent frameworks, the
 * generator of the reference. They are installed in the cache folder, once per lock file, never into the checkout.
 */
import { execFile } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { copyFile, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'onbehalf', 'adapters');

/** Where the packages of a folder are installed; another lock file is another place. */
function placeOf(folder: string): string {
  const lock = readFileSync(join(folder, 'package-lock.json'));
  return join(cache, `${basename(folder)}-${createHash('sha256').update(lock).digest('hex').slice(0, 16)}`);
}

/** Whether a folder's packages have been installed on this machine. */
export const isInstalledApart = (folder: string) => existsSync(join(placeOf(folder), 'ready'));

/** Installs them where they are not yet, and returns where: `node_modules` is in there. Throws where npm fails. */
export async function installApart(folder: string): Promise<string> {
  const place = placeOf(folder);
  if (isInstalledApart(folder)) return place;
  const building = `${place}.new-${randomUUID()}`;
  try {
    await mkdir(building, { recursive: true });
    for (const file of ['package.json', 'package-lock.json', '.npmrc'])
      await copyFile(join(folder, file), join(building, file));
    await run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: building, maxBuffer: 16 << 20 });
    await writeFile(join(building, 'ready'), '');
    if (isInstalledApart(folder)) return place;
    await rm(place, { recursive: true, force: true });
    await rename(building, place);
  } finally {
    await rm(building, { recursive: true, force: true });
  }
  return place;
}
