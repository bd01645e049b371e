/**
 * A value that redacts itself. It holds a token, key or assertion between the place where it arises and the one line
 * that puts it on the wire. It uses WebCrypto alone, so it runs in every runtime. It never prints, serialises or
 * compares the value it holds, and nothing but `reveal` returns it.
 */

const REDACTED = '[secret]';

export class SecretValue {
  readonly #value: string;
  #digest: string | undefined;
  #pending: Promise<string> | undefined;

  private constructor(value: string) {
    this.#value = value;
  }

  static of(value: string): SecretValue {
    if (value === '') throw new TypeError('a SecretValue cannot be empty');
    return new SecretValue(value);
  }

  /** The plain value. Call it only in the expression that sends, signs or verifies it. */
  reveal(): string {
    return this.#value;
  }

  /** SHA-256 of the UTF-8 value, base64url without padding. Computed once per instance. */
  async sha256(): Promise<string> {
    if (this.#digest !== undefined) return this.#digest;
    this.#pending ??= sha256Base64Url(this.#value);
    this.#digest = await this.#pending;
    return this.#digest;
  }

  /** The digest when `sha256` has already been awaited, so that a hot path needs no promise. */
  get digest(): string | undefined {
    return this.#digest;
  }

  toString(): string {
    return REDACTED;
  }

  toJSON(): string {
    return REDACTED;
  }

  [Symbol.toPrimitive](): string {
    return REDACTED;
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return REDACTED;
  }
}

/** Replaces every occurrence of a secret in foreign text, such as a tool's answer that echoes its bearer token. */
export function redact(text: string, secrets: readonly SecretValue[]): string {
  let clean = text;
  for (const secret of secrets) clean = clean.replaceAll(secret.reveal(), REDACTED);
  return clean;
}

async function sha256Base64Url(value: string): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(value)));
  return btoa(String.fromCharCode(...digest))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '');
}
