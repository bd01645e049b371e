import { stat } from 'node:fs/promises';
import type { SecretValue } from '@onbehalf/secret-value';
import type { Registry } from '../store/index.ts';
import type { CredentialSource, CredentialUse, SecretRef } from '../vault/index.ts';

/** What could not be had is asked for again after this many milliseconds, not for each token that somebody sends. */
const RETRY_MS = 1_000;

interface Opened {
  /** Of the file that it came from. */
  mark: string;
  value: Promise<SecretValue>;
  /** Set when it could not be had. */
  failedAt?: number;
}

export interface SharedSecrets {
  /** The value as it is now. @throws VaultError, AuditError */
  read(ref: SecretRef, use: CredentialUse): Promise<SecretValue>;
  close(): void;
}

/**
 * Opens a shared secret once and again when it may be another one: a Secret or Grant was written, or the file has changed.
 * Every token asks, and each opening is a line of the audit.
 */
export function createSharedSecrets(o: {
  registry: Registry;
  credentials: CredentialSource;
  /** The file that a reference reads from, if it does. */
  fileOf: (ref: SecretRef) => string | undefined;
  now: () => number;
}): SharedSecrets {
  const opened = new Map<string, Opened>();
  const stop = o.registry.onChange((changed) => {
    const kinds = [...changed].map((uid) => o.registry.byUid(uid)?.kind);
    if (kinds.some((kind) => kind === undefined || kind === 'Secret' || kind === 'Grant')) opened.clear();
  });

  return {
    async read(ref, use) {
      const file = o.fileOf(ref);
      const mark = file === undefined ? '' : await markOf(file);
      const key = JSON.stringify([ref, use]);
      const known = opened.get(key);
      const stale = known?.failedAt !== undefined && o.now() - known.failedAt >= RETRY_MS;
      if (known?.mark === mark && !stale) return known.value;
      const fresh: Opened = { mark, value: o.credentials.open(ref, use).then(({ value }) => value) };
      opened.set(key, fresh);
      fresh.value.catch(() => {
        fresh.failedAt = o.now();
      });
      return fresh.value;
    },
    close: stop,
  };
}

/** Another one when the file was written, replaced, or its link leads elsewhere. */
async function markOf(file: string): Promise<string> {
  const found = await stat(file, { bigint: true }).catch(() => undefined);
  return found === undefined ? 'none' : `${found.dev} ${found.ino} ${found.size} ${found.mtimeNs}`;
}
