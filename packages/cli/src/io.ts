import { spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import type { Fetch } from '@onbehalf/client';

/** Everything that a command touches of the process, so that a test can stand in for it. */
export interface Io {
  stdin: Readable & { isTTY?: boolean };
  stdout: Writable & { isTTY?: boolean; columns?: number };
  stderr: Writable & { isTTY?: boolean };
  env: Record<string, string | undefined>;
  cwd: string;
  now: () => number;
  fetch: Fetch;
  /** Whether a browser could be asked to open the address. */
  openBrowser(url: string): boolean;
  /** Ctrl-C and the like. */
  signal: AbortSignal;
}

export function processIo(): { io: Io; interrupted: () => boolean } {
  const controller = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.on(signal, () => {
      // Who asks twice does not want to wait.
      if (controller.signal.aborted) process.exit(130);
      controller.abort();
    });
  // `onbehalf … | head` is no error.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    throw error;
  });
  const io: Io = {
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    cwd: process.cwd(),
    now: Date.now,
    fetch: (url, init) => fetch(url, init),
    openBrowser: (url) => openBrowser(url, process.env),
    signal: controller.signal,
  };
  return { io, interrupted: () => controller.signal.aborted };
}

function openBrowser(url: string, env: Io['env']): boolean {
  const [command, ...args] =
    process.platform === 'darwin'
      ? ['open', url]
      : process.platform === 'win32'
        ? ['rundll32', 'url.dll,FileProtocolHandler', url]
        : ['xdg-open', url];
  if (process.platform === 'linux' && env.DISPLAY === undefined && env.WAYLAND_DISPLAY === undefined) return false;
  const child = spawn(command ?? '', args, { stdio: 'ignore', detached: true });
  child.on('error', () => undefined);
  child.unref();
  return true;
}
