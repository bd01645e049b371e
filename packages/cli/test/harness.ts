import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { type Io, run } from '../src/index.ts';

export interface Seen {
  method: string;
  path: string;
  headers: IncomingMessage['headers'];
  text: string;
}
type Answer = { status: number; body?: unknown };
type Handler = (seen: Seen, response: ServerResponse) => Answer | 'handled' | undefined;

/** A server whose answers a test writes down, on a free port or on a socket. */
export async function startServer(handler: Handler, socketPath?: string) {
  const seen: Seen[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const entry = {
      method: request.method ?? '',
      path: request.url ?? '',
      headers: request.headers,
      text: Buffer.concat(chunks).toString(),
    };
    seen.push(entry);
    const answer = handler(entry, response) ?? {
      status: 404,
      body: problem(404, 'not_found', 'there is no such thing'),
    };
    if (answer === 'handled') return;
    response.writeHead(answer.status, {
      'content-type': answer.status < 400 ? 'application/json' : 'application/problem+json',
    });
    response.end(answer.body === undefined ? undefined : JSON.stringify(answer.body));
  });
  if (socketPath === undefined) server.listen(0, '127.0.0.1');
  else server.listen(socketPath);
  await once(server, 'listening');
  return {
    url: socketPath === undefined ? `http://127.0.0.1:${(server.address() as AddressInfo).port}` : '',
    seen,
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

export const problem = (status: number, code: string, detail: string, more: object = {}) => ({
  type: `urn:onbehalf:problem:${code}`,
  title: code,
  status,
  code,
  detail,
  ...more,
});

export async function temporaryDirectory() {
  const path = await mkdtemp(join(tmpdir(), 'onbehalf-cli-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

export interface Ran {
  code: number;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  env?: Record<string, string>;
  stdin?: string;
  cwd?: string;
  now?: () => number;
  signal?: AbortSignal;
  openBrowser?: (url: string) => boolean;
  /** Whether a person reads what goes to stderr. */
  terminal?: boolean;
  /** Each piece that goes to stderr. */
  onStderr?: (text: string) => void;
}

/** Runs a command line in this process, with streams of its own. */
export async function cli(words: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const collect = () => {
    const stream = new PassThrough();
    const chunks: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    return { stream, text: () => Buffer.concat(chunks).toString() };
  };
  const [stdout, stderr] = [collect(), collect()];
  stderr.stream.on('data', (chunk: Buffer) => options.onStderr?.(chunk.toString()));
  const io: Io = {
    stdin: Readable.from(options.stdin === undefined ? [] : [Buffer.from(options.stdin)]),
    stdout: stdout.stream,
    stderr: Object.assign(stderr.stream, { isTTY: options.terminal === true }),
    env: { HOME: '/nonexistent', XDG_CONFIG_HOME: '/nonexistent', XDG_DATA_HOME: '/nonexistent', ...options.env },
    cwd: options.cwd ?? '/',
    now: options.now ?? Date.now,
    fetch: (url, init) => fetch(url, init),
    openBrowser: options.openBrowser ?? (() => false),
    signal: options.signal ?? new AbortController().signal,
  };
  const code = await run(words, io);
  return { code, stdout: stdout.text(), stderr: stderr.text() };
}

/** The environment of somebody who has a token for a server. */
export const signedIn = (url: string) => ({ ONBEHALF_URL: url, ONBEHALF_TOKEN: 'token-of-alice' });

export const agent = (name: string, more: object = {}) => ({
  apiVersion: 'onbehalf.dev/v1alpha1',
  kind: 'Agent',
  metadata: { name, namespace: 'default', uid: `uid-${name}`, generation: 1, resourceVersion: '1', managedBy: 'api' },
  spec: { type: 'Declarative', declarative: { modelConfigRef: { name: 'default' } } },
  status: { conditions: [] },
  ...more,
});
