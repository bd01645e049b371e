import { ApiError } from './error.ts';

/** The part of a WebSocket that is used, in browsers, in Node and in the library `ws` alike. */
export interface SocketLike {
  send(data: string): void;
  close(code?: number, reason?: string): void;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
}
export type WebSocketConstructor = new (url: string) => unknown;

export interface SocketHandlers {
  frame(frame: { type: string; [name: string]: unknown }): void;
  /** `opened`: whether the upgrade had been accepted. A refusal of it shows no status (WHATWG). */
  closed(code: number, reason: string, opened: boolean): void;
}

export interface Socket {
  send(frame: unknown): void;
  close(): void;
}

export function openSocket(url: string, make: WebSocketConstructor | undefined, handlers: SocketHandlers): Socket {
  const Implementation = make ?? (globalThis as { WebSocket?: WebSocketConstructor }).WebSocket;
  if (!Implementation) throw new ApiError('closed', 'this runtime has no WebSocket: give createClient one');
  const socket = new Implementation(url) as SocketLike;
  let opened = false;
  let ended = false;
  const end = (code: number, reason: string) => {
    if (ended) return;
    ended = true;
    handlers.closed(code, reason, opened);
  };
  socket.onopen = () => {
    opened = true;
  };
  socket.onmessage = (event: { data: unknown }) => {
    if (ended) return;
    const frame = readFrame(event.data);
    if (frame) handlers.frame(frame);
  };
  socket.onerror = () => undefined;
  socket.onclose = (event: { code: number; reason: string }) => end(event.code, event.reason);
  return {
    send: (frame) => socket.send(JSON.stringify(frame)),
    close() {
      ended = true;
      socket.close(1000);
    },
  };
}

function readFrame(data: unknown): { type: string } | undefined {
  if (typeof data !== 'string') return undefined;
  try {
    const value: unknown = JSON.parse(data);
    return typeof value === 'object' && value !== null && typeof (value as { type?: unknown }).type === 'string'
      ? (value as { type: string })
      : undefined;
  } catch {
    return undefined;
  }
}

/** `http://host/base` → `ws://host/base`; '' stands for the page's own origin. */
export function socketUrl(baseUrl: string, path: string, query: Record<string, string>): string {
  const page = (globalThis as { location?: { href: string } }).location?.href;
  const url = new URL(`${baseUrl.replace(/\/+$/, '')}${path}`, page);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  url.search = new URLSearchParams(query).toString();
  return url.href;
}
