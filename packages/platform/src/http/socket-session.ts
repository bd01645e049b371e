import type { Action, DecisionResource } from '@onbehalf/access';
import { identityOf, type SessionView } from '@onbehalf/resources';
import { SecretValue } from '@onbehalf/secret-value';
import type { WebSocket } from 'ws';
import { z } from 'zod';
import { jsonTooLarge, type Limits, personKey } from '../limits/index.ts';
import { refOf } from '../people/index.ts';
import { authorizeFor, type Presence, presentCaller, stillAllowed, watchAccess } from '../policy/index.ts';
import type { Runtime } from '../runtime/index.ts';
import type { Registry, Stored } from '../store/index.ts';
import type { Authenticator } from './authenticate.ts';
import type { Caller } from './caller.ts';
import { type Encoder, eventEncoder, firstFrames, secondFrames } from './frames.ts';
import { openSession } from './open-session.ts';
import { toProblem } from './problems.ts';
import { type TurnInputPorts, turnInput } from './turn-input.ts';

export interface SocketPorts extends TurnInputPorts {
  runtime: Runtime;
  registry: Registry;
  limits: Limits;
  presence: Presence;
  authenticator: Pick<Authenticator, 'bearer'>;
}

export interface SocketRequest {
  agent: Stored<'Agent'>;
  session: SessionView | undefined;
  frames: 'events' | 'first' | 'second' | undefined;
  after: number;
  caller: Caller;
  requestId: string;
}

const PING_MS = 25_000;
const WARN_BEFORE_MS = 60_000;
const MAX_BUFFER = 1_048_576;
/** Frames that wait for the one before them. */
const MAX_PENDING = 64;
const CLOSE_EXPIRED = 4401;
const CLOSE_REVOKED = 4403;

const content = z
  .string()
  .min(1)
  .max(1_048_576)
  .refine((text) => !text.includes('\0') && text.isWellFormed(), 'must be well-formed text without NUL');
const source = z.string().max(64).exactOptional();
const clientFrame = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('message'), content, messageSource: source }),
  z.strictObject({ type: z.literal('stop') }),
  z.strictObject({ type: z.literal('WsClientPromptCommand'), content, messageSource: source }),
  z.strictObject({ type: z.literal('WsClientStopCommand') }),
  z.strictObject({ type: z.literal('resume'), after: z.int().nonnegative() }),
  z.strictObject({ type: z.literal('auth'), token: z.string().min(1).max(16_384) }),
  z.strictObject({
    type: z.literal('approve'),
    approval: z.string(),
    decision: z.enum(['approve', 'reject']),
    reason: z.string().exactOptional(),
  }),
]);
type ClientFrame = z.infer<typeof clientFrame>;

/** One open socket: a conversation's events out, messages and commands in. */
export function serveSocket(ports: SocketPorts, socket: WebSocket, request: SocketRequest): void {
  let { caller } = request;
  let session = request.session;
  let following: AbortController | undefined;
  let encoders: Encoder[] = encodersFor(request.frames);
  let queue = Promise.resolve();
  let pending = 0;
  const timers = new Set<NodeJS.Timeout>();

  function send(frame: unknown) {
    if (socket.readyState !== socket.OPEN) return;
    if (socket.bufferedAmount > MAX_BUFFER) {
      socket.close(1013, 'too slow: resume');
      return;
    }
    socket.send(JSON.stringify(frame));
  }
  const fail = (code: string, message: string) => {
    for (const encoder of encoders) send(encoder.error(code, message));
  };

  async function open(after: number) {
    session ??= await openSession(ports, caller.principal, {
      agent: identityOf(request.agent),
      owner: refOf(caller.principal),
      door: 'websocket',
    });
    const legacy = encoders.some((encoder) => encoder.snapshot);
    const past = legacy ? await ports.runtime.history(session.id) : [];
    for (const encoder of encoders) for (const frame of encoder.opened(session, past)) send(frame);
    follow(legacy ? (past.at(-1)?.seq ?? 0) : after);
  }

  function follow(after: number) {
    following?.abort();
    const controller = new AbortController();
    following = controller;
    const current = session;
    if (!current) return;
    (async () => {
      const fresh = await ports.runtime.sessions.get(current.id);
      for await (const event of ports.runtime.follow(fresh, after, controller.signal))
        for (const encoder of encoders) for (const frame of encoder.event(event)) send(frame);
    })().catch((error: unknown) => {
      const problem = toProblem(error);
      fail(problem.code, problem.message);
    });
  }

  async function obey(frame: ClientFrame) {
    if (!session) return;
    switch (frame.type) {
      case 'WsClientPromptCommand':
      case 'message': {
        const present = await presentCaller(ports.presence, caller);
        if (present === undefined) return leave();
        caller = present;
        const input = turnInput(
          ports,
          caller,
          session.id,
          { content: frame.content, source: frame.messageSource },
          { door: 'websocket', requestId: request.requestId },
        );
        const posting = ports.policy.decide(caller.principal, 'session.post', {
          kind: 'Session',
          owner: session.owner,
        });
        const agent = ports.registry.byUid(request.agent.metadata.uid);
        if (posting.effect !== 'allow' || agent?.kind !== 'Agent')
          return fail('forbidden', 'only its owner speaks in a session');
        ports.limits.take('turnsStarted', personKey(caller.principal));
        await ports.runtime.start(input, agent as Stored<'Agent'>);
        return;
      }
      case 'WsClientStopCommand':
      case 'stop':
        for (const encoder of encoders) if (encoder.stopping) send(encoder.stopping());
        if ((await ports.runtime.stop(session.id)) === undefined)
          for (const encoder of encoders) if (encoder.idle) send(encoder.idle());
        return;
      case 'resume':
        if (frame.after > (await ports.runtime.sessions.get(session.id)).lastSeq)
          return fail('after_beyond_end', 'the session is not that long');
        return follow(frame.after);
      case 'auth':
        return renew(frame.token);
      case 'approve':
        return fail('approval_unavailable', 'approvals cannot be given in this version');
    }
  }

  async function renew(token: string) {
    const { principal, subject } = await ports.authenticator.bearer(SecretValue.of(token));
    if (principal.issuer !== caller.principal.issuer || principal.subject !== caller.principal.subject) {
      socket.close(CLOSE_REVOKED, 'another principal');
      return;
    }
    caller = { ...caller, principal, subject };
    // The new token may say another role or other groups than the one that opened the socket.
    if (!(await mayStay())) return leave();
    if (session && subject)
      ports.runtime.offer(
        { subject, authorize: authorizeFor(ports.policy, principal, ports.now) },
        { session: session.id },
      );
    watchExpiry();
  }

  function watchExpiry() {
    for (const timer of timers) clearTimeout(timer);
    timers.clear();
    const { expiresAt, kind } = caller.principal.credential;
    // A cookie session refreshes its token by itself; its end closes the socket as a revocation.
    if (expiresAt === undefined || kind === 'session') return;
    const left = expiresAt - ports.now();
    const at = (ms: number, act: () => void) =>
      timers.add(setTimeout(act, Math.min(Math.max(ms, 0), 2_147_483_647)).unref());
    at(left - WARN_BEFORE_MS, () => {
      for (const encoder of encoders) if (encoder.expiring) send(encoder.expiring(new Date(expiresAt).toISOString()));
    });
    at(left, () => socket.close(CLOSE_EXPIRED, 'the token has expired'));
  }

  async function mayStay(): Promise<boolean> {
    const asks = (...question: [action: Action, resource: DecisionResource]) =>
      stillAllowed(ports.presence, ports.policy, caller, ...question);
    return (
      (await asks('run', { kind: 'Agent', uid: request.agent.metadata.uid })) &&
      (session === undefined || (await asks('session.read', { kind: 'Session', owner: session.owner })))
    );
  }

  function leave() {
    // Nothing more is told, whatever the other side makes of the close.
    following?.abort();
    socket.close(CLOSE_REVOKED, 'no longer allowed');
  }

  const ping = setInterval(() => socket.ping(), PING_MS);
  const stopWatching = watchAccess(ports.policy, mayStay, leave);
  socket.on('message', (data, binary) => {
    // Whoever was told to go may still send until the close is complete.
    if (socket.readyState !== socket.OPEN) return;
    const frame = binary ? undefined : readFrame(data as Buffer);
    if (frame === undefined || 'problem' in frame) {
      fail('unknown_frame', frame?.problem ?? 'frames are JSON text');
      return;
    }
    if (request.frames === undefined)
      encoders = frame.type.startsWith('Ws')
        ? encoders.filter((encoder) => encoder.generation !== 'first')
        : encoders.filter((encoder) => encoder.generation !== 'second');
    if (++pending > MAX_PENDING) {
      socket.close(1013, 'too many frames at once');
      return;
    }
    queue = queue.then(() =>
      obey(frame)
        .catch((error: unknown) => {
          const problem = toProblem(error);
          fail(problem.code, problem.message);
        })
        .finally(() => pending--),
    );
  });
  socket.on('error', () => socket.terminate());
  socket.on('close', () => {
    clearInterval(ping);
    for (const timer of timers) clearTimeout(timer);
    stopWatching();
    following?.abort();
  });
  watchExpiry();
  queue = open(request.after).catch((error: unknown) => {
    const problem = toProblem(error);
    fail(problem.code, problem.message);
    socket.close(1011, problem.code);
  });
}

function encodersFor(frames: SocketRequest['frames']): Encoder[] {
  if (frames === 'events') return [eventEncoder()];
  if (frames === 'first') return [firstFrames()];
  if (frames === 'second') return [secondFrames()];
  // Both generations expect to be greeted; the client's first frame says which one it is.
  return [firstFrames(), secondFrames()];
}

function readFrame(text: Buffer): ClientFrame | { problem: string } {
  const tooLarge = jsonTooLarge(text);
  if (tooLarge !== undefined) return { problem: `the frame ${tooLarge}` };
  let value: unknown;
  try {
    value = JSON.parse(text.toString());
  } catch {
    return { problem: 'the frame is no JSON' };
  }
  const parsed = clientFrame.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  return {
    problem:
      `${issue?.path.join('.') || 'type'}: ${issue?.message ?? 'unknown frame'}; known are message, stop, resume, auth, approve`.slice(
        0,
        300,
      ),
  };
}
