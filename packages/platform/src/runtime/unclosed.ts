import type { EventDraft } from './ports.ts';
import { estimateUsage } from './usage.ts';

/**
 * What a turn that broke off leaves open, from its events: text that was streamed and never became a message (its deltas
 * will be pruned), and what that text cost where nobody counted it. Written before the end, both are kept and marked.
 */
export function unclosed(events: readonly EventDraft[]): EventDraft[] {
  const open = new Map<string, { text: string; step: number | undefined }>();
  const counted = new Set<number | undefined>();
  let model = 'unknown';
  for (const event of events) {
    const { messageId = '', step } = event;
    if (event.type === 'delta')
      open.set(messageId, { text: (open.get(messageId)?.text ?? '') + event.data.text, step });
    else if (event.type === 'message') open.delete(messageId);
    else if (event.type === 'usage') {
      counted.add(step);
      model = event.data.model;
    }
  }
  return [...open].flatMap(([messageId, { text, step }]): EventDraft[] => {
    const at = step === undefined ? {} : { step };
    return [
      { type: 'message', ...at, messageId, data: { role: 'assistant', text, truncated: true } },
      ...(counted.has(step)
        ? []
        : [{ type: 'usage' as const, ...at, data: { ...estimateUsage(0, text.length), model, estimated: true } }]),
    ];
  });
}
