import type { createSession, eventPage, SessionEvent, SessionView, TurnResult } from '@onbehalf/resources';
import { addressText } from './address.ts';
import { ApiError, problemError } from './error.ts';
import { serverSentEvents } from './server-sent-events.ts';
import { readJson, type Transport } from './transport.ts';
import type { Address, Call, SayOptions, StopResult } from './types.ts';

const ATTEMPTS = 6;

export interface Conversations {
  createSession(agent: Address, options?: { title?: string } & Call): Promise<SessionView>;
  /** The caller's own, newest first; of all agents when none is named. */
  sessions(agent?: Address, call?: Call): Promise<SessionView[]>;
  /** `reason`: an ADMIN who reads somebody else's conversation must say why, and its owner is told. */
  session(agent: Address, session: string, options?: { reason?: string } & Call): Promise<SessionView>;
  renameSession(agent: Address, session: string, title: string): Promise<SessionView>;
  deleteSession(agent: Address, session: string): Promise<void>;
  clearSession(agent: Address, session: string): Promise<SessionView>;
  /** Stops the turn on the server; idempotent. */
  stopSession(agent: Address, session: string): Promise<StopResult>;
  /** Says something and waits for the end of the turn. */
  sendMessage(agent: Address, session: string, content: string, options?: SayOptions): Promise<TurnResult>;
  /** Says something; its turn's events as they come. Resumes when the wire is cut; the turn goes on when the loop is left. */
  streamMessage(agent: Address, session: string, content: string, options?: SayOptions): AsyncGenerator<SessionEvent>;
  /** Says something and returns as soon as the server has stored it: once, however often the wire is cut. */
  postMessage(agent: Address, session: string, content: string, options?: SayOptions): Promise<void>;
  /** One page of the log, at most 500 events. */
  events(
    agent: Address,
    session: string,
    options?: { after?: number; limit?: number; reason?: string } & Call,
  ): Promise<{ events: SessionEvent[]; lastSeq: number }>;
  /** The log, and whatever is added to it, until the loop is left. Ends when the wire is cut. */
  followEvents(agent: Address, session: string, options?: FollowOptions): AsyncGenerator<SessionEvent>;
}

interface FollowOptions extends Call {
  after?: number;
  reason?: string;
}

export function conversations(transport: Transport, wait: (ms: number) => Promise<void>): Conversations {
  const at = (agent: Address, session?: string, rest = '') =>
    `/agents/${addressText(agent)}/sessions${session === undefined ? '' : `/${encodeURIComponent(session)}`}${rest}`;

  /** A message is sent again with the same key when it is not known whether the first one arrived. */
  async function say(path: string, content: string, options: SayOptions, accept: string): Promise<Response> {
    const headers = { accept, 'idempotency-key': options.idempotencyKey ?? randomKey() };
    const body = { content, ...(options.source !== undefined && { source: options.source }) };
    for (let attempt = 1; ; attempt++) {
      try {
        return await transport.send('POST', path, { body, headers, signal: options.signal });
      } catch (error) {
        if (!(error instanceof ApiError) || attempt >= ATTEMPTS || !worthRepeating(error, attempt)) throw error;
        await wait(100 * 2 ** attempt);
      }
    }
  }

  function follow(agent: Address, session: string, { signal, ...query }: FollowOptions): Promise<Response> {
    const headers = { accept: 'text/event-stream' };
    return transport.send('GET', at(agent, session, '/events'), { query, headers, signal });
  }

  return {
    createSession: (agent, { title, signal } = {}) =>
      transport.json('POST', at(agent), {
        body: { ...(title !== undefined && { title }) } satisfies (typeof createSession)['_output'],
        signal,
      }),
    sessions: async (agent, call) =>
      (await transport.json<{ items: SessionView[] }>('GET', agent === undefined ? '/sessions' : at(agent), call))
        .items,
    session: (agent, session, { reason, signal } = {}) =>
      transport.json('GET', at(agent, session), { query: { reason }, signal }),
    renameSession: (agent, session, title) => transport.json('PATCH', at(agent, session), { body: { title } }),
    deleteSession: (agent, session) => transport.json('DELETE', at(agent, session)),
    clearSession: (agent, session) => transport.json('POST', at(agent, session, '/clear')),
    stopSession: (agent, session) => transport.json('POST', at(agent, session, '/stop')),
    async sendMessage(agent, session, content, options = {}) {
      const path = at(agent, session, '/messages');
      const response = await say(path, content, options, 'application/json');
      return readJson<TurnResult>(response, options.signal);
    },
    async *streamMessage(agent, session, content, options = {}) {
      let last: SessionEvent | undefined;
      for (let attempt = 0; ; attempt++) {
        try {
          const response =
            last === undefined
              ? await say(at(agent, session, '/messages'), content, options, 'text/event-stream')
              : await follow(agent, session, { after: last.seq, signal: options.signal });
          for await (const event of eventsOf(response, options.signal)) {
            if (last !== undefined && event.turn !== last.turn) continue;
            attempt = 0;
            last = event;
            yield event;
            if (event.type === 'turn.ended') return;
          }
        } catch (error) {
          if (last === undefined || !(error instanceof ApiError && error.code === 'unreachable')) throw error;
        }
        if (last === undefined || attempt >= ATTEMPTS)
          throw new ApiError('unreachable', 'the connection was cut before the turn had ended');
        await wait(100 * 2 ** attempt);
      }
    },
    async postMessage(agent, session, content, options = {}) {
      const response = await say(at(agent, session, '/messages'), content, options, 'text/event-stream');
      await response.body?.cancel().catch(() => undefined);
    },
    events: (agent, session, { signal, ...query } = {}) =>
      transport.json<(typeof eventPage)['_output']>('GET', at(agent, session, '/events'), {
        query,
        signal,
      }) as Promise<{
        events: SessionEvent[];
        lastSeq: number;
      }>,
    async *followEvents(agent, session, options = {}) {
      yield* eventsOf(await follow(agent, session, options), options.signal);
    },
  };
}

/** Nothing came back, a proxy answered, or the first copy of this message is being stored at this moment. */
function worthRepeating(error: ApiError, attempt: number): boolean {
  return (
    error.code === 'unreachable' ||
    [502, 503, 504].includes(error.status) ||
    (attempt > 1 && error.code === 'turn_running')
  );
}

async function* eventsOf(response: Response, signal: AbortSignal | undefined): AsyncGenerator<SessionEvent> {
  if (!response.body || !response.headers.get('content-type')?.startsWith('text/event-stream'))
    throw new ApiError('invalid_answer', 'the server sent no event stream', { status: response.status });
  const events = serverSentEvents(response.body);
  try {
    for (;;) {
      const { done, value } = await events.next().catch((error: unknown) => {
        if (error instanceof ApiError || signal?.aborted) throw error;
        throw new ApiError('unreachable', 'the connection was cut', { cause: error });
      });
      if (done) return;
      const event = parse(value.data);
      if (event.v !== 1) throw problemError(response.status, value.data);
      yield event as unknown as SessionEvent;
    }
  } finally {
    await events.return();
  }
}

function parse(data: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(data);
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch {
    // Said below.
  }
  throw new ApiError('invalid_answer', 'the server sent an event that is no JSON object');
}

/** `crypto.randomUUID` is missing in pages that came over plain HTTP from another host. */
function randomKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
