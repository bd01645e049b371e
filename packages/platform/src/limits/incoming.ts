import type { IncomingMessage } from 'node:http';

/** Undefined when it is longer than `limit` bytes; then nothing more is read. */
export async function readBody(request: IncomingMessage, limit: number): Promise<Buffer | undefined> {
  if (Number(request.headers['content-length'] ?? 0) > limit) return undefined;
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > limit) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, size);
}

/**
 * A path of ours to go on with. Anything that a browser could take for another host is not one, nor what no cookie
 * holds.
 */
export function localPath(value: string | undefined): string {
  return value !== undefined && /^\/(?![/\\])[\x21-\x5b\x5d-\x7e]{0,1023}$/.test(value) ? value : '/ui/';
}

/** The value of one cookie. */
export function cookieOf(header: string | undefined, name: string): string | undefined {
  const found = (header ?? '').split(';').map((pair) => pair.trim());
  return found.find((pair) => pair.startsWith(`${name}=`))?.slice(name.length + 1);
}
