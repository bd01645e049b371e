import { lstatSync, readFileSync, statSync } from 'node:fs';
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

/** The address of the server that runs on a data directory, as it says itself in `server.json`. */
export function runningServer(directory: string): string | undefined {
  const path = join(directory, 'server.json');
  try {
    const { size } = lstatSync(path);
    const { url } = size > LARGEST ? {} : (JSON.parse(readFileSync(path, 'utf8')) as { url?: unknown });
    return typeof url === 'string' ? url : undefined;
  } catch {
    return undefined;
  }
}
