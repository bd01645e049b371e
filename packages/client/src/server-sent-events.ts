import { createParser } from 'eventsource-parser';
import { ApiError } from './error.ts';

export interface ServerSentEvent {
  event: string;
  data: string;
  id: string | undefined;
}

const MAX_EVENT = 4_194_304;

/** Reads a `text/event-stream` (WHATWG HTML section 9.2.6). Leaving the loop cancels the stream. */
export async function* serverSentEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<ServerSentEvent, void, void> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  const whole: ServerSentEvent[] = [];
  let last: string | undefined;
  let endless = false;
  const parser = createParser({
    maxBufferSize: MAX_EVENT,
    onEvent({ event = 'message', data, id }) {
      last = id ?? last;
      whole.push({ event, data, id: last });
    },
    onError({ type }) {
      endless ||= type === 'max-buffer-size-exceeded';
    },
  });
  try {
    for (;;) {
      const { done, value } = await reader.read();
      // What is left without its blank line was cut off, and is no event.
      if (done) return;
      parser.feed(decoder.decode(value, { stream: true }));
      yield* whole.splice(0);
      if (endless) throw new ApiError('invalid_answer', 'the server sent an event without end');
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}
