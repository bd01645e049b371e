import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';

/** What came in, without the tokens' values being compared anywhere but here. */
export interface Seen {
  method: string;
  path: string;
  headers: IncomingMessage['headers'];
  body: unknown;
}

type Answer = { status: number; body?: unknown; headers?: Record<string, string>; raw?: string };
export type Override = (seen: Seen, response: ServerResponse) => Answer | undefined | 'handled';

/** A small server that speaks the protocol of sessions for real, and misbehaves on request. */
export async function startFakeServer() {
  const seen: Seen[] = [];
  const sockets = new Set<WebSocket>();
  const tickets = new Set<string>();
  const log: Record<string, unknown>[] = [];
  const keys = new Map<string, string>();
  const followers = new Set<() => void>();
  const fake = {
    url: '',
    seen,
    sockets,
    log,
    override: undefined as Override | undefined,
    /** Refuses the next upgrades. */
    refuseUpgrades: 0,
    /** The browser's cookie signs in; a second credential beside it is refused. */
    cookies: false,
    /** Sends everything again from here on after a resume, as a careless server would. */
    overlap: 0,
    upgrades: [] as URL[],
    frames: [] as { type: string; token?: string }[],
    emit(type: string, data: object, turn = 'turn-1') {
      log.push({ v: 1, session: 's-1', seq: log.length + 1, turn, at: new Date(0).toISOString(), type, data });
      for (const wake of followers) wake();
    },
    /** Cuts every socket without a closing handshake. */
    cut() {
      for (const socket of sockets) socket.terminate();
    },
    close: async () => {
      for (const socket of sockets) socket.terminate();
      wss.close();
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };

  const server = createServer((request, response) => {
    handle(request, response).catch(() => response.destroy());
  });
  async function handle(request: IncomingMessage, response: ServerResponse) {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    const entry = {
      method: request.method ?? '',
      path: request.url ?? '',
      headers: request.headers,
      body: text === '' ? undefined : JSON.parse(text),
    };
    seen.push(entry);
    const answer = fake.override?.(entry, response) ?? route(entry, response);
    if (answer === 'handled') return;
    const { status, body, raw, headers } = answer;
    const type = status >= 400 ? 'application/problem+json' : 'application/json';
    response.writeHead(status, { 'content-type': type, ...headers });
    response.end(raw ?? (body === undefined ? undefined : JSON.stringify(body)));
  }

  function route({ method, path, headers, body }: Seen, response: ServerResponse): Answer | 'handled' {
    const url = new URL(path, 'http://localhost');
    const session = { id: 's-1', lastSeq: log.length, agent: { namespace: 'default', name: 'assistant', uid: 'u' } };
    const at = `${method} ${url.pathname}`;
    if (at === 'POST /api/tickets') {
      const ticket = randomUUID();
      tickets.add(ticket);
      return { status: 201, body: { ticket, expiresInS: 30 } };
    }
    if (at === 'POST /api/agents/assistant/sessions') return { status: 201, body: session };
    if (at === 'GET /api/agents/assistant/sessions/s-1') return { status: 200, body: session };
    if (at === 'GET /api/agents/assistant/sessions/s-1/events')
      return stream(response, Number(url.searchParams.get('after') ?? 0), () => false);
    if (at === 'POST /api/agents/assistant/sessions/s-1/messages') {
      const key = String(headers['idempotency-key']);
      const after = log.length;
      const turn = keys.get(key) ?? `turn-${keys.size + 1}`;
      if (!keys.has(key)) {
        keys.set(key, turn);
        fake.emit('turn.started', {}, turn);
        fake.emit('message', { role: 'user', text: (body as { content: string }).content }, turn);
      }
      if (headers.accept === 'text/event-stream')
        return stream(response, after, (event) => event.turn === turn && event.type === 'turn.ended');
      return { status: 200, body: { session: 's-1', turn, state: 'completed', text: 'done' } };
    }
    return {
      status: 404,
      body: { type: 'urn:x', title: 'There is no such thing', status: 404, code: 'not_found', detail: 'gone' },
    };
  }

  function stream(
    response: ServerResponse,
    after: number,
    ends: (event: Record<string, unknown>) => boolean,
  ): 'handled' {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.flushHeaders();
    let sent = after;
    const more = () => {
      for (const event of log.slice(sent)) {
        sent++;
        response.write(`id: ${event.seq}\nevent: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
        if (ends(event)) response.end();
      }
    };
    followers.add(more);
    response.on('close', () => followers.delete(more));
    more();
    return 'handled';
  }

  const wss = new WebSocketServer({ noServer: true });
  server.on('upgrade', (request, socket, head) => {
    const url = new URL(request.url ?? '/', 'http://localhost');
    fake.upgrades.push(url);
    const ticket = url.searchParams.get('ticket');
    const known = fake.cookies ? ticket === null : tickets.delete(ticket ?? '');
    if (fake.refuseUpgrades > 0 || !known) {
      fake.refuseUpgrades--;
      // Not 401: Node's own WebSocket repeats such an upgrade once, as fetch does.
      socket.end('HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
      return;
    }
    wss.handleUpgrade(request, socket, head, (ws) => {
      sockets.add(ws);
      let sent = Math.max(0, Number(url.searchParams.get('after')) - fake.overlap);
      ws.send(JSON.stringify({ type: 'session', session: 's-1', lastSeq: log.length }));
      const more = () => {
        for (const event of log.slice(sent)) {
          sent++;
          ws.send(JSON.stringify(event));
        }
      };
      followers.add(more);
      ws.on('message', (data) => fake.frames.push(JSON.parse(String(data)) as { type: string }));
      ws.on('close', () => {
        sockets.delete(ws);
        followers.delete(more);
      });
      more();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  fake.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return Object.assign(fake, { [Symbol.asyncDispose]: fake.close });
}

/** Waits until something is so, or fails with what it was. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  for (let attempt = 0; attempt < 400; attempt++) {
    if (condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error(`not within 2 s: ${what}`);
}
