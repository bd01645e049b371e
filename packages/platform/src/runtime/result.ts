import type { SessionEvent, TurnResult } from '@onbehalf/resources';
import { addUsage, NO_USAGE } from './usage.ts';

/** What a turn came to, told from its events: the JSON answer of `POST …/messages`. */
export function summarizeTurn(session: string, turn: string, events: readonly SessionEvent[]): TurnResult {
  const result: TurnResult = {
    session,
    turn,
    state: 'running',
    text: '',
    usage: { ...NO_USAGE },
    toolCalls: [],
  };
  const call = (callId: string | undefined) => result.toolCalls.findLast((known) => known.callId === callId);
  const texts: string[] = [];
  for (const event of events) {
    if (event.type === 'message' && event.data.role === 'assistant' && event.data.text !== '')
      texts.push(event.data.text);
    else if (event.type === 'tool.call')
      result.toolCalls.push({
        callId: event.callId ?? '',
        server: event.data.server,
        tool: event.data.tool,
        arguments: event.data.arguments,
      });
    else if (event.type === 'tool.result')
      Object.assign(call(event.callId) ?? {}, {
        isError: event.data.isError,
        output: event.data.output,
        ...(event.data.code !== undefined && { code: event.data.code }),
      });
    else if (event.type === 'exchange') Object.assign(call(event.callId) ?? {}, { exchange: event.data });
    else if (event.type === 'usage') addUsage(result.usage, event.data);
    else if (event.type === 'turn.ended') {
      result.state = event.data.state;
      if (event.data.code !== undefined) result.code = event.data.code;
      if (event.data.message !== undefined) result.message = event.data.message;
    }
  }
  result.text = texts.join('\n\n');
  return result;
}
