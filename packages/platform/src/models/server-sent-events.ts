import { createParser } from 'eventsource-parser';
import { ModelError } from './messages.ts';

const MAX_EVENT = 1_048_576;
const MAX_WHOLE = 8_388_608;

/** The `data` of each server-sent event; or the whole, where somebody answers a request for a stream with one JSON text. */
export async function* answerData(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let text = '';
  let whole: boolean | undefined;
  async function* rest() {
    for await (const chunk of body) {
      if (whole === undefined) {
        const begin = decoder.decode(chunk, { stream: true }).trimStart();
        if (begin !== '') whole = begin.startsWith('{');
        text = begin;
        if (!whole) yield chunk;
      } else if (!whole) yield chunk;
      else {
        text += decoder.decode(chunk, { stream: true });
        if (text.length > MAX_WHOLE)
          throw new ModelError('upstream_truncated', 'the model sent an answer of over 8 MiB');
      }
    }
  }
  yield* sseData(rest());
  if (whole) yield text;
}

/** The last one counts without its blank line too: some leave it out. */
async function* sseData(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
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
