import { lstatSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';

const LARGEST = 4_096;

/** Why a data directory may not say where tokens go: it, or what it says, is not the caller's alone. */
export function distrust(directory: string): string | undefined {
  const uid = process.getuid?.();
  if (uid === undefined) return undefined;
  for (const [path, stat] of [
    [directory, statSync],
    [join(directory, 'server.json'), lstatSync],
  ] as const) {
    const found = stat(path, { throwIfNoEntry: false });
    if (!found) continue;
    if (found.uid !== uid) return `${path} belongs to somebody else`;
    if ((found.mode & 0o022) !== 0) return `others may write ${path}: chmod go-w ${path}`;
  }
  return undefined;
}

/** As the server names the folder of a socket whose usual path was too long: nobody could know it before. */
const ELSEWHERE = /\/onbehalf-[A-Za-z0-9]{6}\/admin\.sock$/;

/**
 * The administration socket of a server that runs on a directory, as the caller. Files and links come with any folder
 * that somebody hands on, a socket does not: it is what shows that the address beside it is of a server of this machine.
 */
export function socketOf(directory: string): string | undefined {
  try {
    const usual = join(directory, 'admin.sock');
    const path = lstatSync(usual).isSymbolicLink() ? readlinkSync(usual) : usual;
    if (path !== usual && !ELSEWHERE.test(path)) return undefined;
    const found = lstatSync(path);
    const own = process.getuid === undefined || found.uid === process.getuid();
    return found.isSocket() && own ? path : undefined;
  } catch {
    return undefined;
  }
}

/** The address of the server that runs on a data directory, as it says itself in `server.json`. */
export function runningServer(directory: string): string | undefined {
  if (socketOf(directory) === undefined) return undefined;
  const path = join(directory, 'server.json');
  try {
    const { size } = lstatSync(path);
    const { url } = size > LARGEST ? {} : (JSON.parse(readFileSync(path, 'utf8')) as { url?: unknown });
    return typeof url === 'string' ? url : undefined;
  } catch {
    return undefined;
  }
}
