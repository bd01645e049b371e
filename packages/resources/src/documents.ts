import type { ResourceInput } from './kinds.ts';
import { pathText, stepsOf, validate } from './validate.ts';
import { BOUNDS, cut, MAX_ERRORS, textProblem, yamlDocuments } from './yaml-text.ts';

/** One mistake in one place: what is wrong, and what would be right. `line` and `document` count from 1. */
export interface DocumentError {
  file: string;
  document: number;
  line: number;
  path: string;
  message: string;
}

export interface ParsedDocument {
  input: ResourceInput;
  file: string;
  document: number;
  line: number;
  /** The line of what a path such as `spec.tools[0].name` leads to. */
  lineOf(path: string): number;
}

export interface ParsedDocuments {
  documents: ParsedDocument[];
  errors: DocumentError[];
}

/** Parses and validates multi-document YAML (or JSON, which is YAML). All mistakes are reported at once. */
export function parseDocuments(text: string, file = 'input'): ParsedDocuments {
  const steps = readDocuments(text, file);
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}

/** The same, document by document: it yields after each, so that whoever reads many can let others in. */
export function* readDocuments(text: string, file = 'input'): Generator<undefined, ParsedDocuments> {
  const result: ParsedDocuments = { documents: [], errors: [] };
  const fail = (document: number, line: number, path: string, message: string) => {
    if (result.errors.length < MAX_ERRORS) result.errors.push({ file, document, line, path, message });
  };
  const problem = textProblem(text);
  if (problem) {
    fail(1, problem.line, '', problem.message);
    return result;
  }
  let document = 0;
  for (const yaml of yamlDocuments(text)) {
    document++;
    if ('tooMany' in yaml) {
      fail(document, yaml.tooMany, '', `there are more than ${BOUNDS.documents} documents: split them`);
      break;
    }
    const { line } = yaml;
    for (const error of yaml.errors) fail(document, error.line, '', error.message);
    if (yaml.errors.length === 0) {
      const lineOf = (path: string) => yaml.lineOf(stepsOf(path));
      const checked = validate(yaml.value);
      if ('input' in checked) result.documents.push({ input: checked.input, file, document, line, lineOf });
      else
        for (const issue of checked.issues.slice(0, MAX_ERRORS))
          fail(document, yaml.lineOf(issue.path), pathText(issue.path), issue.message);
    }
    if (result.errors.length >= MAX_ERRORS) break;
    yield;
  }
  if (document === 0) fail(1, 1, '', 'holds no document');
  return result;
}

/**
 * A document that comes as a plain value, such as the body of a request. Depth and number of values are bounded before
 * anything else walks through it.
 */
export function checkDocument(value: unknown): ReturnType<typeof validate> {
  const problem = valueProblem(value);
  return problem === undefined ? validate(value) : { issues: [{ path: [], message: problem }] };
}

function valueProblem(value: unknown): string | undefined {
  let level: unknown[] = [value];
  let nodes = 0;
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > BOUNDS.depth) return `is nested deeper than ${BOUNDS.depth} levels`;
    nodes += level.length;
    if (nodes > BOUNDS.nodes) return `holds more than ${BOUNDS.nodes} values: split it`;
    const text = level.find((one) => typeof one === 'string' && (one.includes('\0') || !one.isWellFormed()));
    if (text !== undefined) return `"${cut(String(text))}" holds a NUL or half of a character pair: no text may`;
    level = level.flatMap((one) => (typeof one === 'object' && one !== null ? Object.values(one) : []));
  }
  return undefined;
}
