import { ModelError } from './messages.ts';

const LINE_FEED = 0x0a;
const MAX_LINE = 1_048_576;

/** Yields the `data` of each server-sent event as text. Comments and other fields are passed over. */
export async function* sseData(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  let pending: Buffer = Buffer.alloc(0);
  let data = '';
  for await (const chunk of body) {
    const buffer = pending.length > 0 ? Buffer.concat([pending, chunk]) : Buffer.from(chunk);
    let start = 0;
    for (let end = buffer.indexOf(LINE_FEED); end >= 0; end = buffer.indexOf(LINE_FEED, start)) {
      const line = buffer.toString('utf8', start, end).replace(/\r$/, '');
      start = end + 1;
      if (line === '') {
        if (data !== '') yield data;
        data = '';
      } else if (line.startsWith('data:')) {
        const value = line.slice(line[5] === ' ' ? 6 : 5);
        data = data === '' ? value : `${data}\n${value}`;
      }
    }
    pending = buffer.subarray(start);
    if (pending.length > MAX_LINE) throw new ModelError('upstream_truncated', 'the model sent a line of over 1 MiB');
  }
  if (data !== '') yield data;
}
