import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Says in `server.json` of the data directory (mode 0600, whole or not at all) where the server is that runs on it, so
 * that a command line of the same user finds it. Returns what takes the file away when the server ends.
 */
export function tellAddress(dataDir: string, url: string): () => void {
  const path = join(dataDir, 'server.json');
  rmSync(`${path}.new`, { force: true });
  writeFileSync(`${path}.new`, `${JSON.stringify({ url })}\n`, { mode: 0o600, flag: 'wx' });
  renameSync(`${path}.new`, path);
  return () => rmSync(path, { force: true });
}
