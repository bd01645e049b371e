import { isAlias, isMap, isPair, isScalar, Lexer, LineCounter, type Node, parseAllDocuments, visit } from 'yaml';
import { z } from 'zod';
import { documentSchema, kindNames, kindOf, type ResourceInput } from './kinds.ts';
import { API_VERSION } from './metadata.ts';
import { nearest } from './nearest.ts';

/** One mistake in one place: what is wrong, and what would be right. `line` and `document` count from 1. */
export interface DocumentError {
  file: string;
  document: number;
  line: number;
  path: string;
  message: string;
}

export interface ParsedDocuments {
  documents: { input: ResourceInput; file: string; document: number; line: number }[];
  errors: DocumentError[];
}

const MAX_TEXT = 2_097_152;
const MAX_DOCUMENTS = 1_000;
const MAX_ALIASES = 50;
/** Words, signs and gaps: parsing takes time by these, not by bytes. 1,000 ordinary documents have fewer. */
const MAX_LEXEMES = 120_000;
/** Mistakes that are told at once. Finding where each stands costs time, and nobody reads more. */
const MAX_ERRORS = 100;

/** Parses and validates multi-document YAML (or JSON, which is YAML). All mistakes are reported at once. */
export function parseDocuments(text: string, file = 'input'): ParsedDocuments {
  const result: ParsedDocuments = { documents: [], errors: [] };
  const fail = (document: number, line: number, path: string, message: string) => {
    if (result.errors.length < MAX_ERRORS) result.errors.push({ file, document, line, path, message });
  };
  if (text.length > MAX_TEXT) {
    fail(1, 1, '', `is larger than ${MAX_TEXT / 1_048_576} MiB: split it`);
    return result;
  }
  if (exceeds(new Lexer().lex(text), MAX_LEXEMES)) {
    fail(1, 1, '', 'holds too much for one request: split it');
    return result;
  }
  const tab = /^[ ]*\t/m.exec(text);
  if (tab) {
    fail(1, text.slice(0, tab.index).split('\n').length, '', 'is indented with a tab: YAML indents with spaces');
    return result;
  }
  const lines = new LineCounter();
  // The parser compares every key of a mapping with every other, and words every mistake: both take minutes for a
  // megabyte of either. Doubled keys are found below, and the first mistakes are enough.
  const parsed = parseAllDocuments(text, {
    lineCounter: lines,
    uniqueKeys: false,
    prettyErrors: false,
    merge: false,
    version: '1.2',
  });
  if (!Array.isArray(parsed) || parsed.length > MAX_DOCUMENTS) {
    fail(1, 1, '', Array.isArray(parsed) ? `holds more than ${MAX_DOCUMENTS} documents` : 'holds no document');
    return result;
  }
  parsed.forEach((yaml, index) => {
    const document = index + 1;
    const lineOf = (node: unknown) => lines.linePos((node as Node | null)?.range?.[0] ?? 0).line;
    const firstLine = lineOf(yaml.contents);
    for (const error of [...yaml.errors.slice(0, MAX_ERRORS), ...yaml.warnings.slice(0, MAX_ERRORS)])
      fail(document, lines.linePos(error.pos[0]).line || firstLine, '', firstSentence(error.message));
    if (yaml.errors.length > 0 || yaml.warnings.length > 0 || yaml.contents === null) return;
    const problem = structuralProblem(yaml.contents);
    if (problem) {
      fail(document, lineOf(problem.node), '', problem.message);
      return;
    }
    const where = (path: readonly PropertyKey[]) => {
      for (let length = path.length; length > 0; length--) {
        const node = yaml.getIn(path.slice(0, length), true);
        if (node) return lineOf(node);
      }
      return firstLine;
    };
    const checked = validate(yaml.toJS({ maxAliasCount: MAX_ALIASES }));
    if ('input' in checked) result.documents.push({ input: checked.input, file, document, line: firstLine });
    else
      for (const issue of checked.issues.slice(0, MAX_ERRORS))
        fail(document, where(issue.path), pathText(issue.path), issue.message);
  });
  if (result.errors.length === 0 && result.documents.length === 0) fail(1, 1, '', 'holds no document');
  return result;
}

function exceeds(items: Iterable<unknown>, most: number): boolean {
  let count = 0;
  for (const _ of items) if (++count > most) return true;
  return false;
}

interface Issue {
  path: readonly PropertyKey[];
  message: string;
}

/** Validates one plain value as a document of whatever kind it says it is. */
export function validate(value: unknown): { input: ResourceInput } | { issues: Issue[] } {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return { issues: [{ path: [], message: 'must be a mapping with apiVersion, kind, metadata and spec' }] };
  const { apiVersion, kind } = value as { apiVersion?: unknown; kind?: unknown };
  if (apiVersion !== API_VERSION)
    return { issues: [{ path: ['apiVersion'], message: `must be ${API_VERSION}, not ${show(apiVersion)}` }] };
  const known = kindNames.find((name) => name === kind);
  if (!known) {
    const meant = typeof kind === 'string' ? (kindOf(kind) ?? nearest(kind, kindNames)) : undefined;
    const hint = meant ? `did you mean ${meant}?` : `must be one of ${kindNames.join(', ')}`;
    return { issues: [{ path: ['kind'], message: `${show(kind)} is no kind: ${hint}` }] };
  }
  const schema = documentSchema(known);
  const parsed = schema.safeParse(value);
  if (parsed.success) {
    const { status: _computed, ...input } = parsed.data;
    return { input: input as ResourceInput };
  }
  return { issues: withoutConsequences(parsed.error.issues).flatMap((issue) => explain(issue, schema)) };
}

/** A misspelt field also makes its mapping incomplete: only the misspelling is worth reporting. */
function withoutConsequences(issues: readonly z.core.$ZodIssue[]): z.core.$ZodIssue[] {
  const misspelt = new Set(
    issues.filter((issue) => issue.code === 'unrecognized_keys').map((issue) => pathText(issue.path)),
  );
  return issues.filter(
    (issue) => issue.code === 'unrecognized_keys' || !misspelt.has(pathText(issue.path.slice(0, -1))),
  );
}

const INLINE_SECRET = /^(client[-_]?)?(secret|password|token|key|private[-_]?key|api[-_]?key|assertion)$/i;

function explain(issue: z.core.$ZodIssue, schema: z.ZodType): Issue[] {
  if (issue.code !== 'unrecognized_keys') return [{ path: issue.path, message: issue.message }];
  const fields = fieldsAt(schema, issue.path);
  return issue.keys.slice(0, MAX_ERRORS).map((key) => {
    const meant = nearest(key, fields);
    const references = fields.filter((field) => /(Ref|File)$/.test(field));
    if (INLINE_SECRET.test(key) && references.length > 0)
      return {
        path: [...issue.path, key],
        message: `a secret is never written here: refer to one by \`${references.join('` or `')}\``,
      };
    const hint = meant ? `did you mean \`${meant}\`?` : `known are ${fields.join(', ')}`;
    return { path: [...issue.path, key], message: `unknown field: ${hint}` };
  });
}

function fieldsAt(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  let current: unknown = schema;
  for (const step of [...path, undefined]) {
    while (
      current instanceof z.ZodOptional ||
      current instanceof z.ZodNullable ||
      current instanceof z.ZodExactOptional
    )
      current = current.unwrap();
    if (step === undefined) break;
    if (current instanceof z.ZodObject) current = current.shape[String(step)];
    else if (current instanceof z.ZodArray) current = current.element;
    else if (current instanceof z.ZodRecord) current = current.valueType;
  }
  return current instanceof z.ZodObject ? Object.keys(current.shape) : [];
}

/** Aliases that would multiply, keys that stand twice, keys that are no strings, and keys that reach a prototype. */
function structuralProblem(contents: Node): { node: unknown; message: string } | undefined {
  let aliases = 0;
  let problem: { node: unknown; message: string } | undefined;
  visit(contents, (_key, node) => {
    if (isAlias(node) && ++aliases > MAX_ALIASES) {
      problem = { node, message: `uses more than ${MAX_ALIASES} aliases: write the values out` };
      return visit.BREAK;
    }
    if (isMap(node)) {
      const seen = new Set<unknown>();
      for (const item of node.items) {
        const key = isPair(item) && isScalar(item.key) ? item.key.value : undefined;
        if (seen.has(key)) {
          problem = {
            node: isPair(item) ? item.key : node,
            message: `keys must be unique: "${String(key)}" stands here twice`,
          };
          return visit.BREAK;
        }
        seen.add(key);
        if (isPair(item) && (!isScalar(item.key) || typeof item.key.value !== 'string')) {
          problem = { node: item.key, message: 'a key must be a string: put it in quotes' };
          return visit.BREAK;
        } else if (isPair(item) && isScalar(item.key) && item.key.value === '__proto__') {
          problem = { node: item.key, message: 'the key "__proto__" is refused' };
          return visit.BREAK;
        }
      }
    }
    return undefined;
  });
  if (problem || aliases === 0) return problem;
  return expansion(contents) > MAX_TEXT
    ? { node: contents, message: 'anchors expand to too much: write the values out' }
    : undefined;
}

/** An upper bound of the nodes that aliases multiply out to. */
function expansion(contents: Node): number {
  const sizes = new Map<string, number>();
  const size = (node: unknown): number => {
    if (isAlias(node)) return sizes.get(node.source) ?? 1;
    let total = 1;
    const items: unknown[] = (node as { items?: unknown[] } | null)?.items ?? [];
    for (const item of items) total += isPair(item) ? size(item.key) + size(item.value) : size(item);
    const anchor = (node as { anchor?: string } | null)?.anchor;
    if (anchor) sizes.set(anchor, total);
    return total;
  };
  return size(contents);
}

const firstSentence = (message: string) => (message.split(/ at line | \n|\n/)[0] ?? message).trim();
const show = (value: unknown) => (value === undefined ? 'nothing' : JSON.stringify(value));

/** `spec.tools[0].mcpServer.name` */
export function pathText(path: readonly PropertyKey[]): string {
  return path.reduce<string>(
    (text, step) =>
      typeof step === 'number' ? `${text}[${step}]` : text === '' ? String(step) : `${text}.${String(step)}`,
    '',
  );
}
