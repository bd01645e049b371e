import { randomUUID } from 'node:crypto';
import { chmod, mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CliError } from './error.ts';
import type { Io } from './io.ts';

/** One login at one server. */
export interface StoredLogin {
  server: string;
  tokenEndpoint: string;
  revocationEndpoint?: string;
  resource: string;
  accessToken: string;
  refreshToken?: string;
  /** ms since 1970. */
  expiresAt: number;
}

const STALE_LOCK_MS = 30_000;
const LOCK_WAIT_MS = 15_000;

/** A file per server in the XDG configuration directory. As the XDG specification has it, empty is not set. */
export function tokenFile(io: Pick<Io, 'env'>, server: string): string {
  return join(configFolder(io), 'logins', `${encodeURIComponent(server)}.json`);
}

export const configFolder = (io: Pick<Io, 'env'>): string =>
  join(io.env.XDG_CONFIG_HOME || join(io.env.HOME ?? homedir(), '.config'), 'onbehalf');

export async function readLogin(path: string): Promise<StoredLogin | undefined> {
  let text: string;
  try {
    // Whoever else can read the file may have done so.
    if (process.platform !== 'win32' && ((await stat(path)).mode & 0o077) !== 0)
      throw new CliError('unauthenticated', `${path} can be read by others`, `rm ${path} and onbehalf login`);
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    return JSON.parse(text) as StoredLogin;
  } catch {
    throw new CliError('unauthenticated', `${path} is damaged`, `rm ${path} and onbehalf login`);
  }
}

export const writeLogin = (path: string, login: StoredLogin): Promise<void> => writePrivately(path, login);

/** Never half written, never readable by others, not even for a moment. */
export async function writePrivately(path: string, value: unknown): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await chmod(dirname(path), 0o700);
  const temporary = `${path}.${randomUUID()}`;
  const file = await open(temporary, 'wx', 0o600);
  try {
    await file.writeFile(JSON.stringify(value));
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
}

export async function removeLogin(path: string): Promise<void> {
  await rm(path, { force: true });
}

/** Two commands at once must not use one refresh token twice. */
export async function withLock<T>(path: string, work: () => Promise<T>): Promise<T> {
  const lock = `${path}.lock`;
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const deadline = Date.now() + LOCK_WAIT_MS;
  for (;;) {
    try {
      await (await open(lock, 'wx', 0o600)).close();
      break;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const held = await stat(lock).catch(() => undefined);
    if (held && Date.now() - held.mtimeMs > STALE_LOCK_MS) await rm(lock, { force: true });
    else if (Date.now() > deadline) throw new CliError('timeout', `${lock} is held by another command`, `rm ${lock}`);
    else await sleep(25);
  }
  try {
    return await work();
  } finally {
    await rm(lock, { force: true });
  }
}
