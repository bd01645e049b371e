import { existsSync, realpathSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { type Client, createClient, type Fetch } from '@onbehalf/client';
import { readContexts } from './contexts.ts';
import { CliError } from './error.ts';
import type { Io } from './io.ts';
import { distrust, runningServer, socketOf } from './running-server.ts';
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

/** A server, and what made it the one: nothing where the caller has said it. */
interface Chosen {
  url: string;
  because?: string;
}

/**
 * --server, else ONBEHALF_URL, else the server that runs on ONBEHALF_DATA_DIR or ./.onbehalf, else the one of the last
 * login, else one of this user's on this machine.
 */
export function chooseServer(io: Io, selection: Selection): Chosen {
  const said = selection.server ?? io.env.ONBEHALF_URL;
  if (said !== undefined) return { url: serverUrl(said) };
  const near = foundDirectory(io, selection);
  const running = near === undefined ? undefined : runningServer(near);
  if (near !== undefined && running !== undefined)
    return { url: serverUrl(running), because: `it runs on ${shown(io, near)}` };
  const here = join(io.cwd, '.onbehalf');
  const why = near === undefined && existsSync(here) ? distrust(here) : undefined;
  const passed = why === undefined ? '' : `; not .onbehalf: ${why}`;
  const remembered = readContexts(io).current;
  if (remembered !== undefined)
    return { url: serverUrl(remembered), because: `of your last login: onbehalf context ls${passed}` };
  const usual = usualDirectory(io);
  const own = distrust(usual) === undefined ? runningServer(usual) : undefined;
  if (own !== undefined) return { url: serverUrl(own), because: `it runs on ${usual}${passed}` };
  return { url: DEFAULT_SERVER, ...(why !== undefined && { because: `none other is known${passed}` }) };
}

/** @throws {CliError} a token is never sent in the clear */
export function serverUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || (url.protocol !== 'http:' && url.protocol !== 'https:') || url.username !== '')
    throw new CliError('usage', `${text} is no address of a server`, `--server ${DEFAULT_SERVER}`);
  if (url.protocol === 'http:' && !/^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(url.hostname))
    throw new CliError('usage', `${url.origin}: a token is never sent in the clear`, `--server https://${url.host}`);
  return url.origin + url.pathname.replace(/\/$/, '');
}

/** Where the data of a server on this machine is: as said, else the checkout's demo, else the XDG data directory. */
export const dataDirectory = (io: Io, selection: Selection): string =>
  foundDirectory(io, selection) ?? usualDirectory(io);

const shown = ({ cwd }: Io, directory: string) => {
  const near = relative(cwd, directory) || '.';
  return near.startsWith('..') ? directory : near;
};

const usualDirectory = ({ env }: Io) =>
  join(env.XDG_DATA_HOME || join(env.HOME ?? homedir(), '.local', 'share'), 'onbehalf');

/**
 * The data directory that is meant. Whoever can write in it chooses where tokens go: what was not named with --data-dir
 * must be the caller's alone.
 */
function foundDirectory(io: Io, selection: Selection): string | undefined {
  if (selection.dataDir !== undefined && selection.dataDir !== '') return resolve(io.cwd, selection.dataDir);
  const said = io.env.ONBEHALF_DATA_DIR;
  if (said !== undefined && said !== '') {
    const directory = resolve(io.cwd, said);
    const why = distrust(directory);
    if (why !== undefined)
      throw new CliError('usage', `ONBEHALF_DATA_DIR: ${why}`, `--data-dir ${directory} if you mean it`);
    return directory;
  }
  const here = join(io.cwd, '.onbehalf');
  return existsSync(join(here, 'onbehalf.db')) && distrust(here) === undefined ? here : undefined;
}

/** `administrative`: what needs the local socket, or is usually done over it, uses it where it is. */
export function connect(
  io: Io,
  selection: Selection,
  administrative: boolean,
  { address, tell }: { address(): string; tell(text: string): void },
): Server {
  const remote = selection.server ?? io.env.ONBEHALF_URL;
  const asked = selection.local === true || selection.dataDir !== undefined;
  if (asked && selection.server !== undefined)
    throw new CliError('usage', '--server and --local exclude each other', 'leave one out');
  if (asked || (administrative && remote === undefined)) {
    const directory = dataDirectory(io, selection);
    const socket = socketAt(directory, selection);
    if (socket !== undefined) {
      if (selection.dataDir === undefined) tell(`Server on ${shown(io, directory)}, over its administration socket.`);
      const fetch = interruptible(io, unixSocketFetch(socket));
      return { client: createClient({ baseUrl: 'http://localhost', fetch }), url: socket, local: true };
    }
    if (asked)
      throw new CliError('unreachable', `no server runs on ${directory}`, `onbehalf up --data-dir ${directory}`);
  }
  const url = address();
  return {
    client: createClient({ baseUrl: url, fetch: interruptible(io, io.fetch), token: () => accessToken(io, url) }),
    url,
    local: false,
  };
}

/** What was named with --data-dir is taken as it is: also of another user, by root. */
function socketAt(directory: string, { dataDir }: Selection): string | undefined {
  if (dataDir === undefined) return distrust(directory) === undefined ? socketOf(directory) : undefined;
  const path = join(directory, 'admin.sock');
  return existsSync(path) ? realpathSync(path) : undefined;
}

/** Ctrl-C ends whatever is under way. What begins after it, such as stopping the turn on the server, may still end. */
function interruptible(io: Io, fetch: Fetch): Fetch {
  return (url, init) => {
    if (io.signal.aborted) return fetch(url, init);
    const signal = init.signal ? AbortSignal.any([io.signal, init.signal]) : io.signal;
    return fetch(url, { ...init, signal });
  };
}
