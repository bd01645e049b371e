import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { StartError } from './start-error.ts';

/** Bytes of `sun_path` (unix(7)) without the closing zero; BSD and macOS have four fewer. */
const LONGEST = process.platform === 'linux' ? 107 : 103;

export interface SocketPlace {
  /** Where to listen. */
  path: string;
  /** For the person who starts the server, where it is not in the data directory. */
  note?: string;
  remove(): void;
}

/**
 * The administration socket is in the data directory. Where that path is longer than the system takes, the socket is in
 * a directory of its own, which only this user may enter, and a link in the data directory leads there.
 */
export function placeSocket(dataDir: string, runtimeDir: string | undefined): SocketPlace {
  const usual = join(dataDir, 'admin.sock');
  const bytes = Buffer.byteLength(usual);
  rmSync(usual, { force: true });
  if (bytes <= LONGEST) return { path: usual, remove: () => rmSync(usual, { force: true }) };
  const why = `the path of the administration socket would be ${bytes} bytes long, and this system takes ${LONGEST}`;
  const folder = privateFolder([runtimeDir, tmpdir()]);
  if (folder === undefined)
    throw new StartError('socket_path', `${why}: choose a shorter data directory with ONBEHALF_DATA_DIR`);
  const path = join(folder, 'admin.sock');
  symlinkSync(path, usual);
  return {
    path,
    note: `${why}: it is ${path}, and ${usual} leads there`,
    remove() {
      rmSync(usual, { force: true });
      rmSync(dirname(path), { recursive: true, force: true });
    },
  };
}

/** mkdtemp(3): a name that nobody could know before, mode 0700. */
function privateFolder(parents: readonly (string | undefined)[]): string | undefined {
  for (const parent of parents) {
    if (parent === undefined) continue;
    const wanted = join(parent, 'onbehalf-');
    if (Buffer.byteLength(wanted) + '123456/admin.sock'.length > LONGEST) continue;
    try {
      return mkdtempSync(wanted);
    } catch {
      // Not there, or not ours: the next one.
    }
  }
  return undefined;
}
