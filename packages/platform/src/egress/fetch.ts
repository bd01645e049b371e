import { pipeline, Readable, type Transform } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import { EgressError, toEgressError } from './errors.ts';
import { createMeter, DEFAULT_LIMITS, type Limits } from './limits.ts';
import type { EgressInit, EgressRequest, EgressResponse } from './message.ts';

type Send = (url: string | URL, init: EgressRequest, manual: boolean) => Promise<EgressResponse>;

const BODILESS = new Set([204, 205, 304]);

const DECODERS: Record<string, () => Transform> = {
  gzip: createGunzip,
  'x-gzip': createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
};

/** The `fetch` face of `request`, for libraries that take one. Standard types in and out. */
export async function fetchThrough(send: Send, input: string | URL | Request, init: EgressInit): Promise<Response> {
  const { limits, tls, ...standard } = init;
  const target = input instanceof Request ? input.url : String(input);
  if (!URL.canParse(target)) throw new EgressError('invalid_url', 'not an absolute URL');
  // A Request refuses credentials in its URL by itself, with the URL in the message: the check in `send` comes first.
  const bare = new URL(target);
  const request = new Request(input instanceof Request ? input : withoutCredentials(bare), standard);
  const payload = request.body === null ? null : Buffer.from(await request.arrayBuffer());
  const headers = Object.fromEntries(request.headers);
  headers['accept-encoding'] ??= 'identity';
  const answer = await send(
    bare,
    {
      method: request.method.toUpperCase(),
      headers,
      body: payload,
      signal: request.signal,
      ...(limits === undefined ? {} : { limits }),
      ...(tls === undefined ? {} : { tls }),
    },
    init.redirect === 'manual',
  );
  return toResponse(answer, bare, { ...DEFAULT_LIMITS, ...limits }, request.method);
}

async function toResponse(answer: EgressResponse, url: URL, limits: Limits, method: string): Promise<Response> {
  const headers = new Headers();
  for (const [name, value] of Object.entries(answer.headers)) {
    for (const one of Array.isArray(value) ? value : [value ?? '']) headers.append(name, one);
  }
  const empty = method === 'HEAD' || BODILESS.has(answer.status);
  if (empty) await drain(answer.body);
  const encoding = empty ? 'identity' : contentEncoding(headers, answer, url.hostname);
  const chunks = encoding === 'identity' ? answer.body : decode(answer, encoding, url.hostname, limits);
  const response = new Response(empty ? null : toStream(chunks, answer.body.cancel), {
    status: answer.status,
    headers,
  });
  return Object.defineProperty(response, 'url', { value: url.href });
}

function contentEncoding(headers: Headers, answer: EgressResponse, host: string): string {
  const encoding = (headers.get('content-encoding') ?? 'identity').trim().toLowerCase();
  if (encoding === 'identity') return encoding;
  if (!Object.hasOwn(DECODERS, encoding)) {
    answer.body.cancel();
    // Stacked encodings are how a small answer becomes an endless one; we asked for none.
    throw new EgressError('encoding_refused', `${host}: an encoding that was not asked for`);
  }
  headers.delete('content-encoding');
  headers.delete('content-length');
  return encoding;
}

/** Decodes with the same bounds again, so that a few kilobytes cannot unpack into gigabytes. */
async function* decode({ body, headers }: EgressResponse, encoding: string, host: string, limits: Limits) {
  const count = createMeter(host, limits, headers['content-type']);
  const decoder = DECODERS[encoding]?.() ?? createGunzip();
  const decoded = pipeline(Readable.from(body), decoder, () => undefined);
  try {
    for await (const chunk of decoded) {
      count(chunk);
      yield chunk;
    }
  } catch (error) {
    throw toEgressError(error, host);
  } finally {
    body.cancel();
  }
}

/** Reads what must be empty, so that the connection can be used again. */
async function drain(body: AsyncIterable<Buffer>): Promise<void> {
  const iterator = body[Symbol.asyncIterator]();
  while (!(await iterator.next()).done);
}

function toStream(chunks: AsyncIterable<Buffer>, cancel: () => void): ReadableStream<Uint8Array> {
  const iterator = chunks[Symbol.asyncIterator]();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await iterator.next();
        if (done) controller.close();
        else controller.enqueue(new Uint8Array(value));
      },
      cancel,
    },
    { highWaterMark: 0 },
  );
}

function withoutCredentials(url: URL): URL {
  const bare = new URL(url);
  bare.username = '';
  bare.password = '';
  return bare;
}
