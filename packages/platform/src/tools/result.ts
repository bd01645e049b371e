import type { CallToolResult } from '@modelcontextprotocol/client';
import { redact, type SecretValue } from '@onbehalf/secret-value';
import { type Json, pickFields } from '../audit/index.ts';

/** What the model gets of one answer. The rest is cut, and the event says so. */
export const MODEL_BYTES = 16_384;

/** Zero-width and bidirectional control characters: text that a person does not see but a model reads. */
const HIDDEN = /[\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]|\udb40[\udc00-\udfff]/g;

/** Makes hidden characters visible as `\u{…}`. */
export function showHidden(text: string): string {
  return text.replace(HIDDEN, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`);
}

export const hasHidden = (text: string) => text.search(HIDDEN) >= 0;

/** The text of a tool's answer, without the credential that was sent, and cut to what a model reads. */
export function resultText(
  result: CallToolResult,
  secrets: readonly SecretValue[],
): { output: string; truncated: boolean } {
  const parts = result.content.map((block) => {
    switch (block.type) {
      case 'text':
        return block.text;
      case 'resource':
        return 'text' in block.resource
          ? block.resource.text
          : `[${block.resource.mimeType ?? 'binary'} at ${block.resource.uri}]`;
      case 'resource_link':
        return `[link: ${block.name} ${block.uri}${block.mimeType === undefined ? '' : ` (${block.mimeType})`}]`;
      default:
        return `[${block.type}: ${block.mimeType}, ${Math.floor((block.data.length * 3) / 4)} bytes]`;
    }
  });
  const { structuredContent } = result;
  // Many servers say the same twice, as the protocol recommends.
  if (structuredContent !== undefined && !parts.some((part) => isSame(part, structuredContent)))
    parts.push(JSON.stringify(structuredContent));
  return cut(showHidden(redact(parts.join('\n'), secrets)));
}

/** Whether a text says what the structured content does; the Python SDK puts what is no object into `result`. */
function isSame(text: string, structured: unknown): boolean {
  const { result, ...more } = Object(structured) as { result?: unknown };
  const wrapped = result !== undefined && Object.keys(more).length === 0;
  if (wrapped && text === result) return true;
  try {
    const said = JSON.stringify(JSON.parse(text));
    return said === JSON.stringify(structured) || (wrapped && said === JSON.stringify(result));
  } catch {
    return false;
  }
}

/** The named fields of an answer: of its structured content, else of its one text, where that is JSON. */
export function fieldsIn(
  result: CallToolResult,
  pointers: readonly string[],
  secrets: readonly SecretValue[],
): Record<string, Json> {
  const [only, ...more] = result.content;
  const text =
    result.structuredContent !== undefined
      ? JSON.stringify(result.structuredContent)
      : only?.type === 'text' && more.length === 0
        ? only.text
        : '';
  let value: unknown;
  try {
    value = JSON.parse(redact(text, secrets));
  } catch {
    return {};
  }
  return pickFields(value, pointers);
}

function cut(text: string): { output: string; truncated: boolean } {
  const bytes = Buffer.from(text, 'utf8');
  if (bytes.length <= MODEL_BYTES) return { output: text.toWellFormed(), truncated: false };
  let end = MODEL_BYTES;
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return { output: `${bytes.toString('utf8', 0, end)}\n[cut: ${bytes.length - end} bytes more]`, truncated: true };
}
