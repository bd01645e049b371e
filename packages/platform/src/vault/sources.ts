import { readFile, realpath } from 'node:fs/promises';
import { sep } from 'node:path';
import { SecretValue } from '@onbehalf/secret-value';
import type { ResourceRow, Store } from '../store/index.ts';
import type { CredentialUse, Located, MayUse, OpenedCredential, SecretRef } from './credential.ts';
import { VaultError } from './error.ts';
import type { Where } from './sealed-rows.ts';

export interface SourceOptions {
  store: Store;
  mayUse: MayUse;
  unseal(where: Where): Promise<{ value: SecretValue; version: number } | undefined>;
  fingerprint(value: SecretValue): string;
  readEnv: (name: string) => string | undefined;
  allowedFilePrefixes: readonly string[];
}

/** Finds a secret and asks every rule; opens nothing. @throws VaultError */
export async function locate(o: SourceOptions, ref: SecretRef, use: CredentialUse): Promise<Located> {
  if (ref.env !== undefined) return fromEnvironment(o, ref.env, use);
  if (ref.file !== undefined) return fromFile(o, ref.file, use);
  if (ref.name !== undefined && ref.key !== undefined) return fromStore(o, ref.name, ref.key, ref.namespace, use);
  throw new VaultError('source_not_supported', 'this source of secrets is not set up');
}

async function fromStore(
  o: SourceOptions,
  name: string,
  field: string,
  named: string | undefined,
  use: CredentialUse,
): Promise<Located> {
  const namespace = named ?? use.namespace;
  if (namespace === undefined) throw new VaultError('secret_not_found', 'the reference names no namespace');
  if (use.namespace !== undefined && namespace !== use.namespace) {
    throw new VaultError('secret_not_usable', 'a secret is used in its own namespace only');
  }
  const { builder } = o.store;
  const query = builder.selectFrom('resources').selectAll().where('kind', '=', 'Secret');
  const [row] = await o.store.read(query.where('namespace', '=', namespace).where('name', '=', name).compile());
  if (row === undefined) throw new VaultError('secret_not_found', 'there is no such secret');
  const { uid } = row;
  allow(o, use, { uid, namespace, name });
  checkSpec(row, use);
  return {
    target: { kind: 'Secret', uid, namespace, name, field },
    async open() {
      const found = await o.unseal({ kind: 'Secret', uid, field });
      if (found === undefined) throw new VaultError('secret_not_found', `the secret has no field ${field}`);
      return { value: found.value, version: String(found.version) };
    },
  };
}

async function fromEnvironment(o: SourceOptions, name: string, use: CredentialUse): Promise<Located> {
  allow(o, use, { uid: 'env', namespace: '', name });
  return { target: { kind: 'env', name }, open: async () => plain(o, o.readEnv(name)) };
}

async function fromFile(o: SourceOptions, path: string, use: CredentialUse): Promise<Located> {
  allow(o, use, { uid: 'file', namespace: '', name: path });
  return {
    target: { kind: 'file', name: path },
    async open() {
      // Where the path leads to, not what it says; read each time, so that a changed file is the new value.
      const real = await realpath(path).catch(() => undefined);
      const inside = o.allowedFilePrefixes.some((prefix) =>
        real?.startsWith(prefix.endsWith(sep) ? prefix : prefix + sep),
      );
      if (real === undefined || !inside)
        throw new VaultError('secret_not_found', 'there is no such file under an allowed prefix');
      return plain(o, (await readFile(real, 'utf8').catch(() => undefined))?.replace(/\r?\n$/, ''));
    },
  };
}

function plain(o: SourceOptions, text: string | undefined): OpenedCredential {
  if (text === undefined || text === '') throw new VaultError('secret_not_found', 'the secret is not set');
  const value = SecretValue.of(text);
  return { value, version: o.fingerprint(value) };
}

function allow(o: SourceOptions, { writer }: CredentialUse, secret: Parameters<MayUse>[1]): void {
  if (writer !== undefined && !o.mayUse(writer, secret)) {
    throw new VaultError('secret_not_usable', 'whoever wrote the reference may not use this secret');
  }
}

function checkSpec(row: ResourceRow, use: CredentialUse): void {
  const { usableBy, hosts } = JSON.parse(row.spec) as { usableBy?: string[]; hosts?: string[] };
  if (usableBy !== undefined && !usableBy.includes(use.kind)) {
    throw new VaultError('kind_not_allowed', `the secret may not be used by a ${use.kind}`);
  }
  if (hosts !== undefined && !hosts.some((host) => sameOrigin(host, use.origin))) {
    throw new VaultError('host_not_allowed', 'the secret may not be sent there');
  }
}

const sameOrigin = (allowed: string, origin: string | undefined): boolean =>
  origin !== undefined &&
  URL.canParse(allowed) &&
  URL.canParse(origin) &&
  new URL(allowed).origin === new URL(origin).origin;
