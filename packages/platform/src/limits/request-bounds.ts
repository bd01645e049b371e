import type { IncomingMessage } from 'node:http';

const MOST_HEADERS = 100;
const LONGEST_QUERY = 8_192;
const MOST_PAIRS = 64;

interface TooLarge {
  code: 'headers_too_large' | 'query_too_large';
  says: string;
}

/**
 * What is wrong with the head of a request before anything parses it: so many headers, and so many pairs in its query.
 * Parsers below take time that grows with the square of what they are given.
 */
export function headTooLarge({
  url = '',
  rawHeaders,
}: Pick<IncomingMessage, 'url' | 'rawHeaders'>): TooLarge | undefined {
  if (rawHeaders.length / 2 > MOST_HEADERS)
    return { code: 'headers_too_large', says: `the request has more than ${MOST_HEADERS} headers` };
  const at = url.indexOf('?');
  if (at === -1) return undefined;
  if (url.length - at - 1 > LONGEST_QUERY)
    return { code: 'query_too_large', says: `the query is longer than ${LONGEST_QUERY} characters` };
  if (pairsIn(url, at + 1) > MOST_PAIRS)
    return { code: 'query_too_large', says: `the query has more than ${MOST_PAIRS} pairs` };
  return undefined;
}

/** Levels of a JSON body: a document within a list within a body. */
const DEEPEST = 128;

/** Whether a value is nested deeper than any of ours. What walks through it calls itself, and has no bound of its own. */
export function nestedTooDeep(value: unknown): boolean {
  let level: unknown[] = [value];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > DEEPEST) return true;
    level = level.flatMap((one) => (typeof one === 'object' && one !== null ? Object.values(one) : []));
  }
  return false;
}

const MOST_FIELDS = 64;

/** A form (application/x-www-form-urlencoded) with more fields than any request of ours has. */
export const formTooLarge = (text: string): boolean => pairsIn(text, 0) > MOST_FIELDS;

function pairsIn(text: string, from: number): number {
  let count = 1;
  for (let at = text.indexOf('&', from); at !== -1; at = text.indexOf('&', at + 1)) if (++count > MOST_PAIRS) break;
  return count;
}
