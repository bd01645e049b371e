import { Buffer } from 'node:buffer';
import { AccessError } from './errors.ts';
import { type JsonObject, parseStrictObject } from './json.ts';

/** Bytes. Longer tokens are refused before anything is decoded. */
export const MAX_TOKEN_LENGTH = 16_384;

export interface ParsedToken {
  compact: string;
  header: JsonObject;
  payload: JsonObject;
}

/**
 * Compact serialisation only (RFC 7515 section 3.1), before any key is looked for. JWE, JSON serialisation and opaque
 * tokens end here.
 * @throws {AccessError} `token_malformed`
 */
export function parseToken(compact: string): ParsedToken {
  if (compact.length > MAX_TOKEN_LENGTH) throw malformed('longer than 16 KiB');
  const parts = compact.split('.', 4);
  if (parts.length !== 3) throw malformed('not three parts');
  const [header, payload, signature] = parts.map(decode);
  if (header === undefined || payload === undefined || signature === undefined) throw malformed('not base64url');
  return { compact, header: parseObject(header, 'header'), payload: parseObject(payload, 'payload') };
}

/** Canonical base64url without padding (RFC 7515 section 2): one value has one spelling, so a hash names one token. */
function decode(part: string): Buffer | undefined {
  if (part === '' || !/^[A-Za-z0-9_-]+$/.test(part)) return undefined;
  const bytes = Buffer.from(part, 'base64url');
  return bytes.toString('base64url') === part ? bytes : undefined;
}

function parseObject(bytes: Buffer, what: string): JsonObject {
  const object = parseStrictObject(utf8(bytes));
  if (object === undefined) throw malformed(`the ${what} is not a JSON object with distinct names`);
  return object;
}

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function utf8(bytes: Buffer): string {
  try {
    return strict.decode(bytes);
  } catch {
    throw malformed('not UTF-8');
  }
}

function malformed(what: string): AccessError {
  return new AccessError('token_malformed', `not a compact JWS: ${what}`);
}
