import type { SessionEvent, SessionView } from '@onbehalf/resources';
import { ApiError } from './error.ts';
import { FanOut } from './fan-out.ts';
import { openSocket, type Socket, type WebSocketConstructor } from './socket.ts';
import type { SayOptions, StopResult } from './types.ts';

/** Why a conversation ended for good. `revoked`: the right to it was taken away while it was open. */
export type ClosedReason = 'closed_by_caller' | 'unauthenticated' | 'forbidden' | 'not_found' | 'revoked' | 'failed';

/** What a user interface shows about the wire. */
export type Connection =
  | { state: 'connecting' }
  | { state: 'open' }
  | { state: 'reconnecting'; attempt: number; retryInMs: number; closeCode: number | undefined }
  | { state: 'closed'; reason: ClosedReason; error?: ApiError };

/** What the server says beside the events. */
export type Notice = { type: 'error'; code: string; message: string } | { type: 'auth.expiring'; at: string };

export interface OpenSessionOptions {
  agent: string;
  /** Left out: a new session is made. */
  session?: string | undefined;
  /** Number of the last event that is known already; 0 for all. */
  after?: number | undefined;
  /** Back-off between attempts, in ms. Default 500 to 10,000, with jitter. */
  backOff?: { minMs: number; maxMs: number } | undefined;
}

/** One conversation, whatever happens to the wire: each event once, in the order of `seq`. */
export interface OpenSession extends AsyncIterable<SessionEvent> {
  readonly agent: string;
  /** The session's id, as soon as there is one. */
  readonly ready: Promise<string>;
  readonly lastSeq: number;
  readonly connection: Connection;
  /** Stored exactly once, also when the wire is cut meanwhile. Resolves then; what comes of it are events. */
  send(content: string, options?: SayOptions): Promise<void>;
  /** Stops the turn on the server. */
  stop(): Promise<StopResult>;
  close(): void;
  onEvent(listener: (event: SessionEvent) => void): () => void;
  onConnection(listener: (connection: Connection) => void): () => void;
  onNotice(listener: (notice: Notice) => void): () => void;
}

/** What a conversation needs of the rest of the client. */
export interface SessionDoor {
  create(agent: string): Promise<SessionView>;
  /** Throws what an upgrade would be refused with. */
  read(agent: string, session: string): Promise<SessionView>;
  /** Address of the socket, with a fresh one-time ticket in it unless a cookie signs in. */
  address(agent: string, session: string, after: number): Promise<string>;
  post(agent: string, session: string, content: string, options: SayOptions): Promise<void>;
  stop(agent: string, session: string): Promise<StopResult>;
  token: (() => string | Promise<string>) | undefined;
  webSocket: WebSocketConstructor | undefined;
  random: () => number;
}

const CLOSE_REVOKED = 4403;

export function createOpenSession(door: SessionDoor, options: OpenSessionOptions): OpenSession {
  const { agent } = options;
  const { minMs, maxMs } = options.backOff ?? { minMs: 500, maxMs: 10_000 };
  const events = new FanOut<SessionEvent>();
  const connections = new FanOut<Connection>();
  const notices = new FanOut<Notice>();
  let connection: Connection = { state: 'connecting' };
  let lastSeq = options.after ?? 0;
  let attempt = 0;
  let socket: Socket | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let session = options.session;
  let settle: { resolve(id: string): void; reject(error: unknown): void } | undefined;
  const ready = new Promise<string>((resolve, reject) => {
    settle = { resolve, reject };
  });
  ready.catch(() => undefined);
  if (session !== undefined) settle?.resolve(session);

  const isClosed = () => connection.state === 'closed';
  function change(next: Connection) {
    if (isClosed()) return;
    connection = next;
    connections.emit(next);
    if (next.state !== 'closed') return;
    clearTimeout(timer);
    socket?.close();
    settle?.reject(next.error ?? new ApiError('closed', 'the conversation was closed'));
    events.end();
    connections.end();
    notices.end();
  }

  async function connect() {
    try {
      if (session === undefined) {
        session = (await door.create(agent)).id;
        settle?.resolve(session);
      }
      const url = await door.address(agent, session, lastSeq);
      if (isClosed()) return;
      socket = openSocket(url, door.webSocket, { frame, closed });
    } catch (error) {
      failed(error);
    }
  }

  function frame(received: { type: string; [name: string]: unknown }) {
    if (received.v === 1) return take(received as unknown as SessionEvent);
    if (received.type === 'session') {
      attempt = 0;
      change({ state: 'open' });
    } else if (received.type === 'error') notices.emit(received as unknown as Notice);
    else if (received.type === 'auth.expiring') {
      notices.emit(received as unknown as Notice);
      renew().catch(() => undefined);
    }
  }

  function take(event: SessionEvent) {
    // A resumed log may begin before what is known; a gap is where deltas were pruned.
    if (event.seq <= lastSeq) return;
    lastSeq = event.seq;
    events.emit(event);
  }

  /** The socket goes on with the next token of the same principal; without one the server closes it. */
  async function renew() {
    const token = await door.token?.();
    if (token !== undefined) socket?.send({ type: 'auth', token });
  }

  function closed(code: number, _reason: string, opened: boolean) {
    socket = undefined;
    if (isClosed()) return;
    if (code === CLOSE_REVOKED) change({ state: 'closed', reason: 'revoked' });
    else if (opened) retry(code);
    else refused(code).catch(failed);
  }

  /** An upgrade was refused, and browsers do not say why: the same question as a request gets an answer. */
  async function refused(code: number) {
    const id = await ready;
    const view = await door.read(agent, id);
    if (view.lastSeq < lastSeq)
      throw new ApiError('after_beyond_end', 'the session is shorter than it was: open it anew', { status: 400 });
    retry(code);
  }

  function failed(error: unknown) {
    if (isClosed()) return;
    const final = error instanceof ApiError && error.status >= 400 && error.status < 500 && error.status !== 429;
    if (!(error instanceof ApiError)) {
      change({
        state: 'closed',
        reason: 'failed',
        error: new ApiError('closed', 'connecting failed', { cause: error }),
      });
    } else if (final || error.code === 'closed') change({ state: 'closed', reason: reasonOf(error), error });
    else retry(undefined);
  }

  function retry(closeCode: number | undefined) {
    attempt++;
    const ceiling = Math.min(maxMs, minMs * 2 ** Math.min(attempt - 1, 30));
    const retryInMs = Math.round(Math.max(minMs, ceiling * (0.5 + door.random() / 2)));
    change({ state: 'reconnecting', attempt, retryInMs, closeCode });
    timer = setTimeout(connect, retryInMs);
  }

  // Whoever opens a conversation can listen before anything happens.
  timer = setTimeout(connect, 0);

  return {
    agent,
    ready,
    get lastSeq() {
      return lastSeq;
    },
    get connection() {
      return connection;
    },
    send: async (content, sending = {}) => door.post(agent, await ready, content, sending),
    stop: async () => door.stop(agent, await ready),
    close: () => change({ state: 'closed', reason: 'closed_by_caller' }),
    onEvent: (listener) => events.listen(listener),
    onConnection: (listener) => connections.listen(listener),
    onNotice: (listener) => notices.listen(listener),
    [Symbol.asyncIterator]: () => events.iterate(),
  };
}

function reasonOf(error: ApiError): ClosedReason {
  if (error.status === 401) return 'unauthenticated';
  if (error.status === 403) return 'forbidden';
  return error.status === 404 ? 'not_found' : 'failed';
}
