import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import { SecretValue } from '@onbehalf/secret-value';
import { VaultError } from './error.ts';

/** Where a value belongs. It opens nowhere else. */
export interface Place {
  kind: string;
  uid: string;
  field: string;
  version: number;
}

/** A key that wraps data keys. Its id follows from it. */
export interface WrappingKey {
  id: string;
  bytes: Buffer;
}

export const wrappingKey = (bytes: Buffer): WrappingKey => ({
  id: Buffer.from(hkdfSync('sha256', bytes, '', 'onbehalf key id', 9)).toString('base64url'),
  bytes,
});

const format = 'ob1';
const tenant = 'default';

/**
 * AES-256-GCM twice (NIST SP 800-38D): a data key of its own encrypts the value, the wrapping key encrypts the data
 * key. So a rotation wraps 32 bytes anew and never touches a value. Text form, dot-separated base64url:
 * `ob1 . key id . version . data key id . iv . wrapped data key . iv . ciphertext`, each ciphertext with its 16 byte tag.
 */
export function seal(key: WrappingKey, place: Place, value: SecretValue): string {
  const dataKey = randomBytes(32);
  const dataKeyId = randomBytes(9).toString('base64url');
  const sealed = encrypt(dataKey, aad('value', place, dataKeyId), Buffer.from(value.reveal(), 'utf8'));
  const wrapped = encrypt(key.bytes, aad('key', place, key.id, dataKeyId), dataKey);
  dataKey.fill(0);
  return [format, key.id, place.version, dataKeyId, ...wrapped, ...sealed].join('.');
}

/** @throws VaultError `wrong_key`, `sealed_damaged` */
export function open(keyOf: (id: string) => WrappingKey | undefined, place: Place, envelope: string): SecretValue {
  const parts = parse(envelope, place);
  const dataKey = unwrap(keyOf, place, parts);
  try {
    return SecretValue.of(
      decrypt(dataKey, aad('value', place, parts.dataKeyId), parts.valueIv, parts.value).toString('utf8'),
    );
  } catch (error) {
    throw error instanceof VaultError ? error : damaged(error);
  } finally {
    dataKey.fill(0);
  }
}

/** The same value under another wrapping key. @throws VaultError */
export function rewrap(
  keyOf: (id: string) => WrappingKey | undefined,
  next: WrappingKey,
  place: Place,
  envelope: string,
): string {
  const parts = parse(envelope, place);
  const dataKey = unwrap(keyOf, place, parts);
  const wrapped = encrypt(next.bytes, aad('key', place, next.id, parts.dataKeyId), dataKey);
  dataKey.fill(0);
  const sealed = [parts.valueIv, parts.value].map((part) => part.toString('base64url'));
  return [format, next.id, place.version, parts.dataKeyId, ...wrapped, ...sealed].join('.');
}

/** Undefined for what is no envelope. */
export const keyIdOf = (envelope: string): string | undefined => envelope.split('.')[1];

interface Parts {
  keyId: string;
  dataKeyId: string;
  wrapIv: Buffer;
  wrapped: Buffer;
  valueIv: Buffer;
  value: Buffer;
}

function parse(envelope: string, place: Place): Parts {
  const [name, keyId, version, dataKeyId, ...rest] = envelope.split('.');
  const [wrapIv, wrapped, valueIv, value, more] = rest.map(canonical);
  if (name !== format || keyId === undefined || version !== String(place.version) || dataKeyId === undefined)
    throw damaged();
  if (wrapIv?.length !== 12 || wrapped?.length !== 48 || valueIv?.length !== 12) throw damaged();
  if (value === undefined || value.length <= 16 || more !== undefined) throw damaged();
  return { keyId, dataKeyId, wrapIv, wrapped, valueIv, value };
}

function unwrap(keyOf: (id: string) => WrappingKey | undefined, place: Place, parts: Parts): Buffer {
  const key = keyOf(parts.keyId);
  if (key === undefined) throw new VaultError('wrong_key', 'sealed under a key that is not here');
  return decrypt(key.bytes, aad('key', place, key.id, parts.dataKeyId), parts.wrapIv, parts.wrapped);
}

/** Length-prefixed, so that no two places are the same bytes. */
function aad(part: 'key' | 'value', { kind, uid, field, version }: Place, ...keyIds: string[]): Buffer {
  const fields = ['onbehalf', format, part, tenant, kind, uid, field, String(version), ...keyIds];
  return Buffer.concat(
    fields.flatMap((text) => {
      const bytes = Buffer.from(text, 'utf8');
      const length = Buffer.alloc(4);
      length.writeUInt32BE(bytes.length);
      return [length, bytes];
    }),
  );
}

function encrypt(key: Buffer, associated: Buffer, plain: Buffer): [iv: string, sealed: string] {
  const iv = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', key, iv, { authTagLength: 16 }).setAAD(associated);
  const sealed = Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
  return [iv.toString('base64url'), sealed.toString('base64url')];
}

function decrypt(key: Buffer, associated: Buffer, iv: Buffer, sealed: Buffer): Buffer {
  // Without authTagLength Node accepts a tag of 4 bytes; nothing of `update` is used before `final` has checked it.
  const cipher = createDecipheriv('aes-256-gcm', key, iv, { authTagLength: 16 }).setAAD(associated);
  cipher.setAuthTag(sealed.subarray(-16));
  try {
    const plain = cipher.update(sealed.subarray(0, -16));
    cipher.final();
    return plain;
  } catch (error) {
    throw damaged(error);
  }
}

// Node's decoder skips what is not base64url and drops spare bits: only the one spelling of the bytes is accepted.
function canonical(text: string): Buffer {
  const bytes = Buffer.from(text, 'base64url');
  if (bytes.toString('base64url') !== text) throw damaged();
  return bytes;
}

const damaged = (cause?: unknown) =>
  new VaultError('sealed_damaged', 'a sealed value is not what was stored there', { cause });
