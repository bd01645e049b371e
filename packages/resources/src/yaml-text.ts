import { isAlias, isMap, isPair, isScalar, isSeq, Lexer, LineCounter, type Node, parseDocument, visit } from 'yaml';

/** Bounds of one document, and of a text with many. They are looked at before anything parses. */
export const BOUNDS = {
  text: 8_388_608,
  documents: 2_000,
  document: 1_048_576,
  depth: 64,
  nodes: 10_000,
  aliases: 50,
  /** Words, signs and gaps of a document: what is no value takes time too. */
  lexemes: 80_000,
} as const;

/** Mistakes of one document that are told at once. Finding where each stands costs time, and nobody reads more. */
export const MAX_ERRORS = 100;

/** One document of a text: a plain value, or what is wrong with it. Lines count from 1, in the whole text. */
export interface YamlDocument {
  line: number;
  value: unknown;
  errors: readonly { line: number; message: string }[];
  /** The line of what a path leads to, or of what comes nearest to it. */
  lineOf(path: readonly PropertyKey[]): number;
}

interface Chunk {
  text: string;
  /** Lines above it. */
  above: number;
}

/** Why a text is not looked at any further. */
export function textProblem(text: string): { line: number; message: string } | undefined {
  if (text.length > BOUNDS.text) return { line: 1, message: `is larger than ${BOUNDS.text >> 20} MiB: split it` };
  const odd = /\0|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/.exec(text);
  return odd
    ? { line: lineAt(text, odd.index), message: 'holds a NUL or half of a character pair: no text may' }
    : undefined;
}

/** The documents of a text, one after the other, so that whoever reads many can do something else in between. */
export function* yamlDocuments(text: string): Generator<YamlDocument | { tooMany: number }> {
  let count = 0;
  let chunks = 0;
  for (const chunk of chunksOf(text)) {
    const empty = isEmpty(chunk.text);
    if (!empty) count++;
    if (++chunks > 2 * BOUNDS.documents || count > BOUNDS.documents) {
      yield { tooMany: chunk.above + 1 };
      return;
    }
    if (!empty) yield read(chunk);
  }
}

/** A line `---` at the margin begins a document, and `...` ends one, wherever it stands (YAML 1.2 section 9.1.2). */
function* chunksOf(text: string): Generator<Chunk> {
  const marker = /^(?:---(?=\s|$)|\.\.\.(?=\s|$))/gm;
  let from = 0;
  let above = 0;
  for (let found = marker.exec(text); found !== null; found = marker.exec(text)) {
    const head = text.slice(from, found.index);
    // Directives belong to the document that they stand before.
    if (/^%/m.test(head) && !/^---/m.test(head) && isEmpty(head.replace(/^%.*$/gm, ''))) continue;
    if (found.index > from) yield { text: head, above };
    above += linesIn(head);
    from = found.index;
    if (found[0] === '...') {
      const end = text.indexOf('\n', from);
      if (end === -1) return;
      from = end + 1;
      above += 1;
    }
  }
  yield { text: text.slice(from), above };
}

/** Nothing but comments and what separates documents. */
const isEmpty = (text: string) =>
  text
    .replace(/^(?:---|\.\.\.)(?=\s|$)/, '')
    .replace(/^[ \t]*#.*$/gm, '')
    .trim() === '';
const linesIn = (text: string) => text.split('\n').length - 1;
const lineAt = (text: string, index: number) => linesIn(text.slice(0, index)) + 1;

function read({ text, above }: Chunk): YamlDocument {
  const broken = (line: number, message: string): YamlDocument => ({
    ...{ line: above + 1, value: undefined, errors: [{ line: above + line, message }] },
    lineOf: () => above + line,
  });
  const tooLarge = sizeProblem(text);
  if (tooLarge) return broken(tooLarge.line, tooLarge.message);
  const lines = new LineCounter();
  // The parser compares every key of a mapping with every other, and words every mistake: both take minutes for a
  // megabyte of either. Doubled keys are found below, and the first mistakes are enough.
  const yaml = parseDocument(text, {
    ...{ lineCounter: lines, uniqueKeys: false, prettyErrors: false, merge: false, version: '1.2' },
  });
  const lineOfNode = (node: unknown) => above + lines.linePos((node as Node | null)?.range?.[0] ?? 0).line;
  const line = lineOfNode(yaml.contents);
  /** A field stands where its name does. */
  const lineOf = (path: readonly PropertyKey[]) => {
    let node: unknown = yaml.contents;
    let found = line;
    for (const step of path) {
      const pair = isMap(node) ? node.items.find(({ key }) => isScalar(key) && key.value === step) : undefined;
      const item = pair?.key ?? (isSeq(node) ? node.items[Number(step)] : undefined);
      if (item === undefined) return found;
      found = lineOfNode(item);
      node = pair ? pair.value : item;
    }
    return found;
  };
  const mistakes = [...yaml.errors, ...yaml.warnings];
  const errors = mistakes.slice(0, MAX_ERRORS).map(({ pos, message }) => ({
    line: above + (lines.linePos(pos[0]).line || 1),
    message: firstSentence(message),
  }));
  if (errors.length > 0 || yaml.contents === null) return { line, value: undefined, errors, lineOf };
  const problem = structuralProblem(yaml.contents);
  if (problem)
    return { line, value: undefined, errors: [{ line: lineOfNode(problem.node), message: problem.message }], lineOf };
  return { line, value: yaml.toJS({ maxAliasCount: BOUNDS.aliases }), errors: [], lineOf };
}

/** What the parser says, in its first sentence. */
function firstSentence(message: string): string {
  if (message.startsWith('Tabs are not allowed')) return 'is indented with a tab: YAML indents with spaces';
  return (message.split(/ at line | \n|\n/)[0] ?? message).trim().slice(0, 300);
}

/**
 * What is too large about a document, by its lexemes alone: what builds a tree of them does so by calling itself, and
 * takes time by their number.
 */
function sizeProblem(text: string): { line: number; message: string } | undefined {
  if (text.length > BOUNDS.document)
    return { line: 1, message: `is larger than ${BOUNDS.document >> 20} MiB: split it` };
  let line = 1;
  let column = 0;
  let flow = 0;
  let nodes = 0;
  let lexemes = 0;
  let lineBegins = true;
  const columns: number[] = [];
  for (const lexeme of new Lexer().lex(text)) {
    const kind = kindOfLexeme(lexeme);
    if (kind === 'flow-start') flow++;
    else if (kind === 'flow-end' && --flow < 0) return { line, message: `has a ${lexeme} without its beginning` };
    if (flow === 0 && (kind === 'content' || kind === 'indicator' || kind === 'flow-start')) {
      if (lineBegins) while (columns.length > 0 && (columns.at(-1) ?? 0) >= column) columns.pop();
      if (lineBegins || kind === 'indicator') columns.push(column);
    }
    if (kind === 'content' || kind === 'flow-start') nodes++;
    if (columns.length + flow > BOUNDS.depth) return { line, message: `is nested deeper than ${BOUNDS.depth} levels` };
    if (++lexemes > BOUNDS.lexemes) return { line, message: 'holds too much for one document: split it' };
    if (nodes > BOUNDS.nodes) return { line, message: `holds more than ${BOUNDS.nodes} values: split it` };
    const breaks = linesIn(lexeme);
    line += breaks;
    column = breaks > 0 ? lexeme.length - lexeme.lastIndexOf('\n') - 1 : column + lexeme.length;
    if (breaks > 0) lineBegins = true;
    else if (kind !== 'space') lineBegins = kind === 'indicator' ? lineBegins : false;
  }
  return undefined;
}

function kindOfLexeme(lexeme: string): 'flow-start' | 'flow-end' | 'indicator' | 'space' | 'content' | 'sign' {
  switch (lexeme[0]) {
    case '{':
    case '[':
      return lexeme.length === 1 ? 'flow-start' : 'content';
    case '}':
    case ']':
      return lexeme.length === 1 ? 'flow-end' : 'content';
    case '-':
    case '?':
      return lexeme.length === 1 ? 'indicator' : 'content';
    case ' ':
    case '\t':
    case '\n':
    case '\r':
    case '#':
      return 'space';
    case ':':
    case ',':
    case '\u0002': // Of the lexer: a document begins, a scalar follows.
    case '\u0018':
    case '\u001f':
      return lexeme.length === 1 ? 'sign' : 'content';
    default:
      return 'content';
  }
}

/** Aliases that lead nowhere or multiply, keys that stand twice, that are no strings, and that reach a prototype. */
function structuralProblem(contents: Node): { node: unknown; message: string } | undefined {
  let aliases = 0;
  const anchors = new Set<string>();
  let problem: { node: unknown; message: string } | undefined;
  const found = (node: unknown, message: string) => {
    problem = { node, message };
    return visit.BREAK;
  };
  visit(contents, (_key, node) => {
    const { anchor } = node as { anchor?: string };
    if (anchor) anchors.add(anchor);
    if (isAlias(node)) {
      if (!anchors.has(node.source))
        return found(node, `*${cut(node.source)} has no anchor &${cut(node.source)} above it in this document`);
      if (++aliases > BOUNDS.aliases)
        return found(node, `uses more than ${BOUNDS.aliases} aliases: write the values out`);
    }
    if (isMap(node)) {
      const seen = new Set<unknown>();
      for (const item of node.items) {
        const key = isPair(item) && isScalar(item.key) ? item.key.value : undefined;
        if (seen.has(key))
          return found(isPair(item) ? item.key : node, `keys must be unique: "${cut(String(key))}" stands here twice`);
        seen.add(key);
        if (isPair(item) && (!isScalar(item.key) || typeof item.key.value !== 'string'))
          return found(item.key, 'a key must be a string: put it in quotes');
        if (key === '__proto__') return found((item as { key: unknown }).key, 'the key "__proto__" is refused');
      }
    }
    return undefined;
  });
  if (problem || aliases === 0) return problem;
  return expansion(contents) > BOUNDS.document
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

const MOST_ECHOED = 64;

/** What somebody wrote, as far as it is told back. */
export const cut = (text: string): string => (text.length > MOST_ECHOED ? `${text.slice(0, MOST_ECHOED)}…` : text);
