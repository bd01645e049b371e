import { createParser } from 'eventsource-parser';
import { ModelError } from './messages.ts';

const MAX_EVENT = 1_048_576;

/** Yields the `data` of each server-sent event. The last one counts without its blank line too: some leave it out. */
export async function* sseData(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  const whole: string[] = [];
  let endless = false;
  const parser = createParser({
    maxBufferSize: MAX_EVENT,
    onEvent: ({ data }) => {
      whole.push(data);
    },
    onError({ type }) {
      endless ||= type === 'max-buffer-size-exceeded';
    },
  });
  for await (const chunk of body) {
    parser.feed(decoder.decode(chunk, { stream: true }));
    yield* whole.splice(0);
    if (endless) throw new ModelError('upstream_truncated', 'the model sent an event of over 1 MiB');
  }
  parser.feed('\n\n');
  yield* whole.splice(0);
}
