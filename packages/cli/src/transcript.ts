import type { ExchangeView, SessionEvent } from '@onbehalf/resources';
import type { Io } from './io.ts';
import type { Output } from './output.ts';
import { oneLine, printable, styler } from './terminal.ts';

/** Writes a turn as a person reads it: the agent's words to stdout, what it did and with whose token to stderr. */
export function createTranscript(io: Io, out: Output) {
  const style = styler(io, io.stderr);
  const dim = (text: string) => out.hint(style('dim', text));
  let streamed = false;
  let lineOpen = false;
  const closeLine = () => {
    if (lineOpen) out.line('');
    lineOpen = false;
  };
  return function show(event: SessionEvent): void {
    switch (event.type) {
      case 'delta':
        streamed = true;
        lineOpen = true;
        out.piece(printable(event.data.text));
        break;
      case 'message':
        if (event.data.role === 'assistant' && !streamed && event.data.text !== '')
          out.line(printable(event.data.text));
        streamed = false;
        closeLine();
        break;
      case 'tool.call':
        closeLine();
        dim(`  ${oneLine(`${event.data.server}/${event.data.tool} ${JSON.stringify(event.data.arguments)}`)}`);
        break;
      case 'exchange':
        dim(`    token: ${oneLine(exchangeText(event.data))}`);
        break;
      case 'tool.result': {
        const { isError, output, code, ms } = event.data;
        const result = isError
          ? style('red', `failed${code === undefined ? '' : ` (${code})`}: ${oneLine(output)}`)
          : 'ok';
        const took = ms === undefined ? '' : isError ? ` (after ${Math.round(ms)} ms)` : ` in ${Math.round(ms)} ms`;
        dim(`    ${result}${took}`);
        break;
      }
      case 'warning':
        dim(`  warning: ${oneLine(event.data.message)}`);
        break;
      case 'approval.requested':
        dim(`  ${oneLine(event.data.tool)} waits for approval until ${event.data.expiresAt}`);
        break;
      case 'auth.required':
        dim(`  sign in again: ${oneLine(event.data.reason)}`);
        break;
      case 'turn.ended':
        closeLine();
        // How any other turn ended is said by the command.
        if (event.data.state === 'completed' && event.data.message !== undefined)
          dim(`  ${oneLine(event.data.message)}`);
        break;
    }
  };
}

/** Who acts: `act`, or where the service cannot say that, the client of the agent's own (`azp`). */
export function agentsOf({ act, delegation, claims }: Pick<ExchangeView, 'act' | 'delegation' | 'claims'>): string[] {
  if (act !== undefined) return act;
  return delegation === 'azp' && typeof claims?.azp === 'string' ? [claims.azp] : [];
}

/** subject → actors → audience [scope], and how it was got. */
export function exchangeText(exchange: Extract<SessionEvent, { type: 'exchange' }>['data']): string {
  const { subject, granted, requested, server, result, ms, mode, message } = exchange;
  const act = agentsOf(exchange);
  if (mode === 'None') return 'none';
  const audience = granted?.audience ?? [...(requested?.audience ?? []), ...(requested?.resource ?? [])];
  const chain = [...(subject ? [subject.subject] : []), ...act, audience.length > 0 ? audience.join(' ') : server];
  const scope = granted?.scope === undefined ? '' : ` [${granted.scope}]`;
  const took = ms === undefined ? '' : ` in ${Math.round(ms)} ms`;
  return `${chain.join(' → ')}${scope}, ${result}${took}${message === undefined ? '' : `: ${message}`}`;
}
