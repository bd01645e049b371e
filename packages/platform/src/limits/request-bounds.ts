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
/** Of one object or list, and of all of a body together: parsers and validators take microseconds for each. */
const MOST_MEMBERS = 10_000;
const MOST_VALUES = 250_000;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/**
 * What is wrong with the size of a JSON text before anything parses it. What walks through the value later calls itself
 * and has no bound of its own.
 */
export function jsonTooLarge(text: Buffer): string | undefined {
  /** Of each object or list that is open. */
  const members: number[] = [0];
  let values = 0;
  for (let at = 0; at < text.length; at++) {
    switch (text[at]) {
      case QUOTE:
        at = endOfString(text, at + 1);
        break;
      case 0x5b: // [
      case 0x7b: // {
        if (members.push(1) > DEEPEST + 1) return `is nested deeper than ${DEEPEST} levels`;
        break;
      case 0x5d: // ]
      case 0x7d: // }
        members.pop();
        break;
      case 0x2c: {
        // A comma.
        const count = (members.pop() ?? 0) + 1;
        members.push(count);
        if (count > MOST_MEMBERS) return `holds more than ${MOST_MEMBERS} values in one object or list`;
        if (++values > MOST_VALUES) return `holds more than ${MOST_VALUES} values`;
      }
    }
  }
  return undefined;
}

/** Where a string ends that begins at `from`: at the first quote that nothing escapes. */
function endOfString(text: Buffer, from: number): number {
  for (let at = text.indexOf(QUOTE, from); at !== -1; at = text.indexOf(QUOTE, at + 1)) {
    let escapes = 0;
    while (text[at - 1 - escapes] === BACKSLASH && at - 1 - escapes >= from) escapes++;
    if (escapes % 2 === 0) return at;
  }
  return text.length;
}

const MOST_FIELDS = 64;

/** A form (application/x-www-form-urlencoded) with more fields than any request of ours has. */
export const formTooLarge = (text: string): boolean => pairsIn(text, 0) > MOST_FIELDS;

function pairsIn(text: string, from: number): number {
  let count = 1;
  for (let at = text.indexOf('&', from); at !== -1; at = text.indexOf('&', at + 1)) if (++count > MOST_PAIRS) break;
  return count;
}
