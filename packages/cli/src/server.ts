import { existsSync, realpathSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { type Client, createClient, type Fetch } from '@onbehalf/client';
import { CliError } from './error.ts';
import type { Io } from './io.ts';
import { accessToken } from './token.ts';
import { unixSocketFetch } from './unix-socket.ts';

export interface Selection {
  server?: string;
  local?: boolean;
  dataDir?: string;
}

export interface Server {
  client: Client;
  /** Origin, or the socket's path. */
  url: string;
  local: boolean;
}

const DEFAULT_SERVER = 'http://localhost:8484';

/** --server, else ONBEHALF_URL, else this machine. */
export function serverUrl(io: Io, selection: Selection): string {
  const text = selection.server ?? io.env.ONBEHALF_URL ?? DEFAULT_SERVER;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || (url.protocol !== 'http:' && url.protocol !== 'https:') || url.username !== '')
    throw new CliError('usage', `${text} is no address of a server`, `--server ${DEFAULT_SERVER}`);
  if (url.protocol === 'http:' && !/^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(url.hostname))
    throw new CliError('usage', `${url.origin}: a token is never sent in the clear`, `--server https://${url.host}`);
  return url.origin + url.pathname.replace(/\/$/, '');
}

/** Where the data of a server on this machine is: as said, else the checkout's demo, else the XDG data directory. */
export function dataDirectory(io: Io, selection: Selection): string {
  const said = selection.dataDir ?? io.env.ONBEHALF_DATA_DIR;
  if (said !== undefined && said !== '') return resolve(io.cwd, said);
  const demo = join(io.cwd, '.onbehalf');
  if (existsSync(join(demo, 'admin.sock'))) return demo;
  return join(io.env.XDG_DATA_HOME || join(io.env.HOME ?? homedir(), '.local', 'share'), 'onbehalf');
}

/** `administrative`: what needs the local socket, or is usually done over it, uses it where it is. */
export function connect(io: Io, selection: Selection, administrative: boolean): Server {
  const remote = selection.server ?? io.env.ONBEHALF_URL;
  const asked = selection.local === true || selection.dataDir !== undefined;
  if (asked && selection.server !== undefined)
    throw new CliError('usage', '--server and --local exclude each other', 'leave one out');
  if (asked || (administrative && remote === undefined)) {
    const directory = dataDirectory(io, selection);
    const socket = join(directory, 'admin.sock');
    if (existsSync(socket)) {
      const fetch = interruptible(io, unixSocketFetch(realpathSync(socket)));
      return { client: createClient({ baseUrl: 'http://localhost', fetch }), url: socket, local: true };
    }
    if (asked)
      throw new CliError('unreachable', `no server runs on ${directory}`, `onbehalf up --data-dir ${directory}`);
  }
  const url = serverUrl(io, selection);
  return {
    client: createClient({ baseUrl: url, fetch: interruptible(io, io.fetch), token: () => accessToken(io, url) }),
    url,
    local: false,
  };
}

/** Ctrl-C ends whatever is under way. What begins after it, such as stopping the turn on the server, may still end. */
function interruptible(io: Io, fetch: Fetch): Fetch {
  return (url, init) => {
    if (io.signal.aborted) return fetch(url, init);
    const signal = init.signal ? AbortSignal.any([io.signal, init.signal]) : io.signal;
    return fetch(url, { ...init, signal });
  };
}
