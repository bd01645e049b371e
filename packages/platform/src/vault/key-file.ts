import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  linkSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import type { SecretValue } from '@onbehalf/secret-value';
import { type WrappingKey, wrappingKey } from './envelope.ts';
import { VaultError } from './error.ts';

/** 32 bytes in base64url, 43 characters. @throws VaultError `key_invalid` */
export function parseKey(text: string): WrappingKey {
  const trimmed = text.trim();
  const bytes = Buffer.from(trimmed, 'base64url');
  if (bytes.length !== 32 || bytes.toString('base64url') !== trimmed) {
    throw new VaultError('key_invalid', 'the key is not 32 bytes in base64url', {
      repair: 'make one with: openssl rand -base64 32 | tr +/ -_ | tr -d =',
    });
  }
  return wrappingKey(bytes);
}

export const keyFromValue = (value: SecretValue): WrappingKey => parseKey(value.reveal());

/** Undefined when there is no such file. @throws VaultError `key_exposed`, `key_invalid` */
export function readKeyFile(path: string): WrappingKey | undefined {
  const file = openExisting(path);
  if (file === undefined) return undefined;
  try {
    const { mode, uid } = fstatSync(file);
    const ours = process.getuid?.();
    if ((mode & constants.S_IFMT) !== constants.S_IFREG || (mode & 0o077) !== 0 || (uid !== ours && uid !== 0)) {
      throw new VaultError('key_exposed', `${path} can be read or replaced by others`, {
        repair: `chmod 600 ${path}, and make it the server's own; if others may have read it, rotate the key`,
      });
    }
    const buffer = Buffer.alloc(256);
    return parseKey(buffer.subarray(0, readSync(file, buffer)).toString('utf8'));
  } finally {
    closeSync(file);
  }
}

/** Durable, and never over an existing file: two processes that start at once end with one key. */
export function createKeyFile(path: string, bytes: Buffer = randomBytes(32)): WrappingKey {
  const draft = `${path}.${randomBytes(6).toString('hex')}`;
  const file = openSync(draft, 'wx', 0o600);
  try {
    writeSync(file, `${bytes.toString('base64url')}\n`);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  try {
    linkSync(draft, path);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  } finally {
    rmSync(draft);
  }
  syncFolder(path);
  const key = readKeyFile(path);
  if (key === undefined) throw new VaultError('key_missing', `${path} cannot be read back`);
  return key;
}

/** The next key becomes the key. Whatever the moment of a crash, one of the two names holds each key in use. */
export function promoteKeyFile(path: string): void {
  renameSync(nextKeyFile(path), path);
  syncFolder(path);
}

export const nextKeyFile = (path: string): string => `${path}.next`;

function openExisting(path: string): number | undefined {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw new VaultError('key_missing', `${path} cannot be read`, { cause: error });
  }
}

function syncFolder(path: string): void {
  const folder = openSync(dirname(path), 'r');
  fsyncSync(folder);
  closeSync(folder);
}
