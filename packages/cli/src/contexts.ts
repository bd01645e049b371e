import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CliError } from './error.ts';
import type { Io } from './io.ts';
import { configFolder, withLock, writePrivately } from './token-file.ts';

/** Servers that somebody signed in at. `current`: which is meant where none is said. */
export interface Contexts {
  current?: string;
  servers: readonly string[];
}

const MOST = 100;
const fileOf = (io: Pick<Io, 'env'>) => join(configFolder(io), 'contexts.json');

export function readContexts(io: Pick<Io, 'env'>): Contexts {
  let text: string;
  try {
    text = readFileSync(fileOf(io), 'utf8');
  } catch {
    return { servers: [] };
  }
  try {
    const { current, servers = [] } = JSON.parse(text) as { current?: unknown; servers?: unknown[] };
    return {
      ...(typeof current === 'string' && { current }),
      servers: servers.filter((server) => typeof server === 'string'),
    };
  } catch {
    throw new CliError('failure', `${fileOf(io)} is damaged`, `rm ${fileOf(io)}`);
  }
}

/** Remembers a server as the one that is meant from now on. */
export async function rememberServer(io: Io, server: string): Promise<void> {
  const path = fileOf(io);
  await withLock(path, () => {
    const { servers } = readContexts(io);
    const kept = [server, ...servers.filter((known) => known !== server)].slice(0, MOST);
    return writePrivately(path, { current: server, servers: kept });
  });
}
