import type { SecretValue } from '@onbehalf/secret-value';
import type { WrappingKey } from './envelope.ts';
import { VaultError } from './error.ts';
import { createKeyFile, installationOf, keyFromValue, nextKeyFile, promoteKeyFile, readKeyFile } from './key-file.ts';

export interface KeyValue {
  value: SecretValue;
  /** The key before this one, as long as something is wrapped with it. */
  previous?: SecretValue;
}

/**
 * The wrapping keys that this process knows: from a file that the vault makes and rotates by itself (its path), or from
 * what the operator hands in. A key stays known until the process ends, for whoever has read a row before it was
 * wrapped anew. Which key is in use, the root's row says.
 */
export class KeyRing {
  readonly #source: string | KeyValue;
  readonly #keys = new Map<string, WrappingKey>();

  /** @throws VaultError */
  constructor(source: string | KeyValue) {
    this.#source = source;
    this.#load();
  }

  /** Another process may have rotated: a key that is not known is looked for once more. */
  readonly get = (id: string): WrappingKey | undefined => {
    if (!this.#keys.has(id)) this.#load();
    return this.#keys.get(id);
  };

  /** For a store that holds nothing yet. */
  first(): WrappingKey {
    const source = this.#source;
    if (typeof source !== 'string') return this.#add(keyFromValue(source.value));
    return this.#add(readKeyFile(source) ?? createKeyFile(source));
  }

  /**
   * The key that a rotation leads to; if one was interrupted, the same as then. A file holds it before anything is
   * wrapped with it. @throws VaultError `key_missing` where the operator hands keys in and handed in none
   */
  next(value?: SecretValue): WrappingKey {
    const source = this.#source;
    const given = value && keyFromValue(value);
    if (typeof source === 'string') {
      const path = nextKeyFile(source);
      return this.#add(readKeyFile(path) ?? createKeyFile(path, given?.bytes, installationOf(source)));
    }
    if (given !== undefined) return this.#add(given);
    if (source.previous === undefined) throw new VaultError('key_missing', 'a new key has to be handed in');
    return this.#add(keyFromValue(source.value));
  }

  get empty(): boolean {
    return this.#keys.size === 0;
  }

  get interrupted(): boolean {
    const source = this.#source;
    return typeof source === 'string' ? readKeyFile(nextKeyFile(source)) !== undefined : source.previous !== undefined;
  }

  /** Nothing is wrapped with an older key any more. */
  complete(): void {
    if (typeof this.#source === 'string' && this.interrupted) promoteKeyFile(this.#source);
  }

  clear(): void {
    for (const key of this.#keys.values()) key.bytes.fill(0);
    this.#keys.clear();
  }

  #load(): void {
    const source = this.#source;
    const keys =
      typeof source === 'string'
        ? [readKeyFile(source), readKeyFile(nextKeyFile(source))]
        : [keyFromValue(source.value), source.previous && keyFromValue(source.previous)];
    for (const key of keys) if (key !== undefined) this.#add(key);
  }

  #add(key: WrappingKey): WrappingKey {
    const known = this.#keys.get(key.id) ?? key;
    this.#keys.set(key.id, known);
    return known;
  }
}
