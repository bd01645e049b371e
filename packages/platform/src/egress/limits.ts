import { EgressError } from './errors.ts';

/** Bounds of one request. Times in milliseconds, sizes in bytes. */
export interface Limits {
  /** Resolving and connecting (rounded up to 250 ms, at most 30 s). */
  connectMs: number;
  /** From the start until the answer's headers; interim 1xx answers do not extend it. */
  firstByteMs: number;
  /** From the start until the answer's last byte. Nothing extends it. */
  totalMs: number;
  /** Between two chunks of the answer. */
  idleMs: number;
  /** Of the answer; where it is decoded, of both the encoded and the decoded form. */
  maxBytes: number;
  /** Of a line of an event stream or of JSON lines, which a reader holds in memory until the line ends. */
  maxLineBytes: number;
}

export const DEFAULT_LIMITS: Readonly<Limits> = {
  connectMs: 10_000,
  firstByteMs: 60_000,
  totalMs: 60_000,
  idleMs: 60_000,
  maxBytes: 1_048_576,
  maxLineBytes: 1_048_576,
};

/** The clocks of one request, and the one signal that ends it. */
export class Deadline {
  readonly #controller = new AbortController();
  readonly #host: string;
  readonly #caller: AbortSignal | undefined;
  readonly #total: NodeJS.Timeout;
  readonly #firstByte: NodeJS.Timeout;
  readonly #onAbort = () => this.abort(this.#caller?.reason);

  constructor(host: string, limits: Limits, caller: AbortSignal | undefined) {
    this.#host = host;
    this.#caller = caller;
    this.#total = this.#arm(limits.totalMs, 'totalMs');
    this.#firstByte = this.#arm(limits.firstByteMs, 'firstByteMs');
    caller?.addEventListener('abort', this.#onAbort, { once: true });
    if (caller?.aborted) this.#onAbort();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  answered(): void {
    clearTimeout(this.#firstByte);
  }

  abort(reason: unknown): void {
    this.#controller.abort(reason);
  }

  clear(): void {
    clearTimeout(this.#total);
    clearTimeout(this.#firstByte);
    this.#caller?.removeEventListener('abort', this.#onAbort);
  }

  #arm(ms: number, name: string): NodeJS.Timeout {
    const expire = () => this.abort(new EgressError('deadline', `${this.#host}: not done within ${name} (${ms} ms)`));
    return setTimeout(expire, ms).unref();
  }
}

const LINE_FEED = 10;
const LINE_ORIENTED = /^(text\/event-stream|application\/(x-)?(ndjson|jsonl|json-seq))/i;

/**
 * Counts bytes and, where the answer is made of lines, the length of the current one; throws at the first byte too many.
 * Only LF ends a line here: an event stream that ends its lines with CR alone meets the cap as one long line.
 */
export function createMeter(host: string, limits: Limits, contentType: unknown): (chunk: Buffer) => void {
  const maxLine = LINE_ORIENTED.test(String(contentType)) ? limits.maxLineBytes : Number.POSITIVE_INFINITY;
  let total = 0;
  let line = 0;
  return (chunk) => {
    total += chunk.length;
    if (total > limits.maxBytes) throw new EgressError('too_large', `${host}: more than ${limits.maxBytes} bytes`);
    let start = 0;
    while (true) {
      const end = chunk.indexOf(LINE_FEED, start);
      line += (end === -1 ? chunk.length : end) - start;
      if (line > maxLine) throw new EgressError('line_too_long', `${host}: a line of more than ${maxLine} bytes`);
      if (end === -1) return;
      line = 0;
      start = end + 1;
    }
  };
}
