import { isObject } from '@onbehalf/resources';
import type { ModelMessage, ModelTool, ModelToolCall } from './messages.ts';

/** What the planner does next: calls to make, or a text to say. */
export interface Plan {
  calls: Omit<ModelToolCall, 'callId'>[];
  text: string;
}

const STOP_WORDS = new Set(
  'a an and are as at by can did do does for from get give have how i in is it list me my of on or our please show tell the there these this to what when which who with would you your much many'.split(
    ' ',
  ),
);

/** Rules, no language model: tools whose words the message uses are called, then their answers are read out. */
export function planStep(messages: readonly ModelMessage[], tools: readonly ModelTool[]): Plan {
  const asked = messages.findLastIndex((message) => message.role === 'user');
  const question = messages[asked]?.role === 'user' ? (messages[asked] as { text: string }).text : '';
  const since = messages.slice(asked + 1);
  const results = since.filter((message) => message.role === 'tool');
  if (/!loop\b/.test(question) && tools[0]) return { calls: [callFor(tools[0], question)], text: '' };
  if (results.length > 0) {
    const next = followUp(question, since, tools);
    return next ? { calls: [next], text: '' } : { calls: [], text: results.map(readOut).join('\n\n') };
  }
  if (/!unknown-tool\b/.test(question)) return { calls: [{ name: 'no_such_tool', arguments: '{}' }], text: '' };
  const chosen = chooseTools(question, tools);
  if (chosen.length === 0) return { calls: [], text: introduction(tools) };
  if (/!bad-arguments\b/.test(question))
    return { calls: chosen.map((tool) => ({ name: tool.name, arguments: '{"broken": ' })), text: '' };
  const repeat = /!parallel\b/.test(question) ? 5 : 1;
  const calls = chosen.flatMap((tool) => Array.from({ length: repeat }, () => callFor(tool, question)));
  return { calls, text: `Let me look that up with ${chosen.map((tool) => tool.name).join(' and ')}.` };
}

/** The best tool of each server, if the message uses at least one telling word of it. */
function chooseTools(question: string, tools: readonly ModelTool[]): ModelTool[] {
  const words = stems(question);
  const best = new Map<string, { tool: ModelTool; score: number }>();
  for (const tool of tools) {
    const [server = '', action = tool.name] = tool.name.split('__');
    const nameWords = stems(action.replaceAll('_', ' '));
    const otherWords = stems(tool.description);
    let score = 0;
    for (const word of words) score += nameWords.has(word) ? 3 : otherWords.has(word) ? 1 : 0;
    score += verbScore(question, action, tool);
    if (score >= 3 && score > (best.get(server)?.score ?? 0)) best.set(server, { tool, score });
  }
  return [...best.values()].map(({ tool }) => tool);
}

/** "List" and "get" are no telling words by themselves, but they decide between two tools about one thing. */
function verbScore(question: string, action: string, tool: ModelTool): number {
  const namesOne = /\b[A-Z]+-\d+\b|\b\d{3,}\b/.test(question);
  const wantsOne = ((tool.inputSchema.required as string[] | undefined)?.length ?? 0) > 0;
  if (/^(list|search)_/.test(action)) return namesOne ? -1 : 1;
  if (/^get_/.test(action)) return !wantsOne ? 0 : namesOne ? 2 : -2;
  const verb = action.split('_')[0] ?? '';
  return stems(question).has(stem(verb)) ? 3 : -4;
}

/** Details were asked for, and an answer has just named what of: one call more, with that name. */
function followUp(question: string, since: readonly ModelMessage[], tools: readonly ModelTool[]) {
  if (!/\bdetails?\b/i.test(question)) return undefined;
  for (const message of since) {
    if (message.role !== 'tool' || message.isError) continue;
    const id = /\b[A-Z]+-\d+\b/.exec(message.output)?.[0];
    const called = since.find(
      (other) => other.role === 'assistant' && other.toolCalls.some((call) => call.callId === message.callId),
    );
    const name =
      called?.role === 'assistant' ? called.toolCalls.find((call) => call.callId === message.callId)?.name : undefined;
    const [server] = (name ?? '').split('__');
    const detail = tools.find((tool) => tool.name.startsWith(`${server}__get_`));
    const asked = since.some(
      (other) => other.role === 'assistant' && other.toolCalls.some((call) => call.name === detail?.name),
    );
    if (id !== undefined && detail && !asked) return callFor(detail, id);
  }
  return undefined;
}

function callFor(tool: ModelTool, question: string): Omit<ModelToolCall, 'callId'> {
  const schema = tool.inputSchema as {
    properties?: Record<string, { type?: string; enum?: string[]; format?: string; description?: string }>;
    required?: string[];
  };
  const values: Record<string, unknown> = {};
  const dates = question.match(/\b\d{4}-\d{2}-\d{2}\b/g) ?? [];
  const ids =
    question.match(/\b[A-Z]+-\d+\b|\b\d{3,}\b/g)?.filter((id) => !dates.some((date) => date.includes(id))) ?? [];
  const quoted = /["“]([^"”]+)["”]/.exec(question)?.[1];
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    const required = schema.required?.includes(name) ?? false;
    const listed = property.enum?.find((value) => question.toLowerCase().includes(value.toLowerCase()));
    if (property.enum) values[name] = listed ?? (required ? property.enum[0] : undefined);
    else if (property.format === 'date' || /date|from|until/i.test(name)) values[name] = dates.shift();
    else if (property.type === 'integer' || property.type === 'number')
      values[name] = Number(/\b\d{1,2}\b/.exec(question)?.[0] ?? 1);
    else if (property.type === 'boolean') values[name] = undefined;
    else if (/id$|number|order/i.test(name)) values[name] = ids[0];
    else values[name] = quoted ?? (required ? question : undefined);
  }
  return { name: tool.name, arguments: JSON.stringify(values) };
}

function readOut(message: ModelMessage): string {
  if (message.role !== 'tool') return '';
  if (message.isError) return `${message.name} did not work: ${message.output}`;
  return `From ${message.name}:\n\n${asMarkdown(message.output)}`;
}

/** A list of records becomes a table, one record a list; anything else stays as it is. */
function asMarkdown(output: string): string {
  let value: unknown;
  try {
    value = JSON.parse(output);
  } catch {
    return output;
  }
  const cell = (inner: unknown) =>
    (typeof inner === 'string' ? inner : (JSON.stringify(inner) ?? '')).replaceAll('|', '\\|');
  if (isObject(value))
    return Object.entries(value)
      .map(([key, inner]) => `- ${key}: ${cell(inner)}`)
      .join('\n');
  if (!Array.isArray(value) || value.length === 0 || !value.every(isObject)) return output;
  const columns = [...new Set(value.flatMap((record) => Object.keys(record)))];
  const row = (cells: string[]) => `| ${cells.join(' | ')} |`;
  return [
    row(columns),
    row(columns.map(() => '---')),
    ...value.map((record) => row(columns.map((column) => cell(record[column])))),
  ].join('\n');
}

function introduction(tools: readonly ModelTool[]): string {
  if (tools.length === 0)
    return 'I am the built-in demo planner, a set of rules and no language model. This agent has no tools yet.';
  return `I am the built-in demo planner, a set of rules and no language model. I can use ${tools
    .map((tool) => tool.name)
    .join(', ')}. Ask me something that uses the words of one of them.`;
}

function stems(text: string): Set<string> {
  const words = text.toLowerCase().match(/[a-z]{2,}/g) ?? [];
  return new Set(words.filter((word) => !STOP_WORDS.has(word)).map(stem));
}

const stem = (word: string) => word.replace(/(ing|ed|es|s)$/, '').replace(/e$/, '');
