import type { AuditLine } from '@onbehalf/resources';
import { oneLine } from './terminal.ts';

/** One thing that happened: an intent and its outcome are one. */
interface Step {
  line: AuditLine;
  /** Announced, and no outcome: nobody knows. */
  open: boolean;
  children: Step[];
}

type Fact = [name: string, value: string | undefined];

/**
 * A turn as a person reads it: what brought about what is shown by the indent, and every fact has a line of its own.
 * Whose turn → decision → model call → tool call → exchange.
 */
export function traceText(lines: readonly AuditLine[]): string[] {
  const roots = tree(lines);
  const about = lines.find((line) => at(line, 'agent', 'name') !== undefined && at(line, 'principal') !== undefined);
  const head = about && [
    `turn ${text(about, 'turn') ?? ''} in session ${text(about, 'session') ?? '?'}`,
    `${personOf(about)} through agent ${agentOf(about)}`,
  ];
  return [...(head ?? []), ...roots.flatMap((step) => show(step, 0))].map(oneLineOf);
}

function tree(lines: readonly AuditLine[]): Step[] {
  const roots: Step[] = [];
  const byRef = new Map<string, Step>();
  const decisions: Step[] = [];
  const models = new Map<unknown, Step>();
  const calls = new Map<unknown, Step>();
  for (const line of lines) {
    const ref = text(line, 'ref');
    const intent = ref === undefined ? undefined : byRef.get(ref);
    if (intent !== undefined) {
      intent.line = { ...intent.line, ...line, at: intent.line.at };
      intent.open = false;
      continue;
    }
    const step: Step = { line, open: line.phase === 'intent', children: [] };
    if (ref !== undefined) byRef.set(ref, step);
    const { type } = line;
    const begins = type === 'tool.call' || (type === 'refusal' && line.tool !== undefined);
    const parent = begins
      ? (models.get(line.step) ?? decisions.at(-1))
      : type === 'model.call'
        ? decisions.at(-1)
        : line.call === undefined
          ? undefined
          : (calls.get(line.call) ?? models.get(line.step));
    (parent?.children ?? roots).push(step);
    if (type === 'decision') decisions.push(step);
    else if (type === 'model.call') models.set(line.step, step);
    // A call that waited for a sign-in is made again: what follows belongs to the later one.
    else if (begins) calls.set(line.call, step);
  }
  return roots;
}

function show({ line, open, children }: Step, depth: number): string[] {
  const indent = '  '.repeat(depth);
  const facts = factsOf(line).flatMap(([name, value]) =>
    value === undefined || value === '' ? [] : [`${indent}                ${name.padEnd(10)}${value}`],
  );
  const outcome = open ? 'unknown: it was announced, and nothing says what became of it' : outcomeOf(line);
  return [
    `${indent}${String(line.at).slice(11, 23)}  ${titleOf(line)}${outcome === '' ? '' : `: ${outcome}`}`,
    ...facts,
    ...children.flatMap((child) => show(child, depth + 1)),
  ];
}

function titleOf(line: AuditLine): string {
  const server = text(line, 'tool', 'server') ?? text(line, 'target', 'server');
  switch (line.type) {
    case 'decision':
      return `decision: may ${personOf(line)} run ${agentOf(line)}`;
    case 'model.call':
      return `model call ${text(line, 'step') ?? ''}`.trimEnd();
    case 'tool.call':
      return `tool call ${server ?? ''} ${text(line, 'tool', 'name') ?? ''}`;
    case 'refusal':
      return `refused ${server ?? ''} ${text(line, 'tool', 'name') ?? ''}`.trimEnd();
    case 'exchange':
      return `token for ${server ?? 'a tool server'}`;
    case 'credential.open':
      return `credential ${text(line, 'target', 'name') ?? ''}`;
    default:
      return line.type;
  }
}

function outcomeOf(line: AuditLine): string {
  const said = text(line, 'outcome') ?? text(line, 'decision') ?? '';
  const code = text(line, 'code');
  return code === undefined ? said : `${said === '' ? '' : `${said}, `}${code}`;
}

function factsOf(line: AuditLine): Fact[] {
  const tokens = (name: string) => text(line, 'data', name);
  const asked = (name: string) => words(at(line, 'target', name));
  const granted = at(line, 'data', 'granted');
  const got = (name: string) =>
    typeof granted === 'object' && granted !== null ? words((granted as Record<string, unknown>)[name]) : undefined;
  const exchange = line.type === 'exchange';
  const latency = text(line, 'latencyMs');
  return [
    ['rule', text(line, 'rule')],
    ['model', tokens('model')],
    ['tokens', tokens('inputTokens') && `${tokens('inputTokens')} in, ${tokens('outputTokens')} out`],
    ['service', exchange ? text(line, 'target', 'tokenService') : undefined],
    ['audience', exchange ? (got('audience') ?? asked('audience') ?? asked('resource')) : undefined],
    ['scope', exchange ? (got('scope') ?? asked('scopes')) : undefined],
    ['actor', exchange || line.type === 'tool.call' ? chainOf(line) : undefined],
    ['token', text(line, 'token', 'jti')],
    ['record', words(at(line, 'records'))],
    ['reason', text(line, 'reason')],
    ['latency', latency && `${latency} ms`],
  ];
}

/** The agent that made the call stands first; it was called by the next. */
function chainOf(line: AuditLine): string | undefined {
  const chain = at(line, 'chain');
  if (!Array.isArray(chain) || chain.length === 0) return undefined;
  return chain.map((actor) => String((actor as { agent?: unknown }).agent ?? '')).join(' for ');
}

const personOf = (line: AuditLine) => text(line, 'principal', 'subject') ?? 'nobody';
const agentOf = (line: AuditLine) => `${text(line, 'agent', 'namespace') ?? ''}/${text(line, 'agent', 'name') ?? ''}`;

function at(line: AuditLine, ...path: string[]): unknown {
  return path.reduce<unknown>(
    (inner, step) =>
      typeof inner === 'object' && inner !== null ? (inner as Record<string, unknown>)[step] : undefined,
    line,
  );
}

function text(line: AuditLine, ...path: string[]): string | undefined {
  const value = at(line, ...path);
  return typeof value === 'string' ? value : typeof value === 'number' ? String(value) : undefined;
}

function words(value: unknown): string | undefined {
  const list = (Array.isArray(value) ? value : [value]).filter((word) => typeof word === 'string' && word !== '');
  return list.length === 0 ? undefined : list.join(' ');
}

/** Nothing in it commands a terminal; the indent stays. */
const oneLineOf = (line: string) => `${/^ */.exec(line)?.[0] ?? ''}${oneLine(line.trimStart())}`;
