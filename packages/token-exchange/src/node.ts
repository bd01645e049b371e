/**
 * What needs a file system: credentials that somebody else rotates in place, such as a Kubernetes projected token.
 * @module
 */
import { readFile, stat } from 'node:fs/promises';
import { SecretValue } from '@onbehalf/secret-value';
import { TokenExchangeError } from './errors.ts';

export { nodeCrypto } from './node-crypto.ts';
export { nodeFetch } from './node-fetch.ts';

/**
 * Reads a token file, and again whenever it changes. The same `SecretValue` comes back while the file stays the same.
 * Errors: `invalid_request_configuration` where the file cannot be read or is empty; the path is not in the message.
 * @param path of a file that holds one token and nothing else; surrounding space does not matter
 */
export function tokenFile(path: string): () => Promise<SecretValue> {
  let known: { version: string; value: SecretValue } | undefined;
  return async () => {
    try {
      const { mtimeMs, ino, size } = await stat(path);
      const version = `${mtimeMs} ${ino} ${size}`;
      if (known?.version !== version) known = { version, value: SecretValue.of((await readFile(path, 'utf8')).trim()) };
      return known.value;
    } catch {
      known = undefined;
      throw new TokenExchangeError('invalid_request_configuration', 'a token file cannot be read');
    }
  };
}
