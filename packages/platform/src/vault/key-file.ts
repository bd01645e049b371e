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

/** A key file: the key, and which installation has begun with it, so that an emptied database is not a new one. */
interface KeyFile {
  key: WrappingKey;
  installation: string | undefined;
}

const NAMED = /^installation ([0-9a-f-]{36})$/;

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
export const readKeyFile = (path: string): WrappingKey | undefined => read(path)?.key;

/** The installation that has begun with this key; undefined for a key of none. @throws VaultError */
export const installationOf = (path: string): string | undefined => read(path)?.installation;

/** Says which installation has begun with the key. False where the file cannot be replaced. @throws VaultError */
export function nameInstallation(path: string, installation: string): boolean {
  const known = read(path);
  if (known === undefined || known.installation === installation) return known !== undefined;
  try {
    const draft = writeDraft(path, known.key.bytes, installation);
    renameSync(draft, path);
  } catch {
    return false;
  }
  syncFolder(path);
  return true;
}

function read(path: string): KeyFile | undefined {
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
    const [key = '', named = '', ...more] = buffer
      .subarray(0, readSync(file, buffer))
      .toString('utf8')
      .trim()
      .split('\n');
    const installation = NAMED.exec(named.trim())?.[1];
    // What stands there and is not understood is no part of a key.
    if (more.length > 0 || (named !== '' && installation === undefined)) return { key: parseKey(''), installation };
    return { key: parseKey(key), installation };
  } finally {
    closeSync(file);
  }
}

/** Durable, and never over an existing file: two processes that start at once end with one key. */
export function createKeyFile(path: string, bytes: Buffer = randomBytes(32), installation?: string): WrappingKey {
  const draft = writeDraft(path, bytes, installation);
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

function writeDraft(path: string, bytes: Buffer, installation: string | undefined): string {
  const draft = `${path}.${randomBytes(6).toString('hex')}`;
  const file = openSync(draft, 'wx', 0o600);
  try {
    writeSync(
      file,
      `${bytes.toString('base64url')}\n${installation === undefined ? '' : `installation ${installation}\n`}`,
    );
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  return draft;
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
