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
  const collector = eventCollector();
  let rest = '';
  try {
    for (;;) {
      const { done, value } = await reader.read();
      // What is left without its blank line was cut off, and is no event.
      if (done) return;
      rest += decoder.decode(value, { stream: true });
      // A CR at the end may be the first half of a CR LF.
      const lines = rest.split(/\r\n|\n|\r(?!$)/);
      rest = lines.pop() ?? '';
      if (rest.length > MAX_EVENT) throw new ApiError('invalid_answer', 'the server sent an event without end');
      for (const line of lines) {
        const event = collector(line);
        if (event) yield event;
      }
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

function eventCollector(): (line: string) => ServerSentEvent | undefined {
  let event = '';
  let data: string[] = [];
  let size = 0;
  let id: string | undefined;
  return (line) => {
    if (line === '') {
      const whole = data.length > 0 ? { event: event || 'message', data: data.join('\n'), id } : undefined;
      [event, data, size] = ['', [], 0];
      return whole;
    }
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + (line[colon + 1] === ' ' ? 2 : 1));
    if (field === 'event') event = value;
    else if (field === 'id' && !value.includes('\0')) id = value;
    else if (field === 'data') {
      size += value.length;
      if (size > MAX_EVENT) throw new ApiError('invalid_answer', 'the server sent an event without end');
      data.push(value);
    }
    return undefined;
  };
}
