import type { Audit, Half } from '../audit/index.ts';
import type { CredentialSource, CredentialUse, Located, SecretRef } from './credential.ts';
import { VaultError } from './error.ts';

/** Every open is announced before and reported after; a refusal is reported too. Without the audit nothing opens. */
export function auditedCredentials(
  audit: () => Audit,
  locate: (ref: SecretRef, use: CredentialUse) => Promise<Located>,
): CredentialSource {
  return {
    async open(ref, use) {
      const log = audit();
      const { located, refused } = await locate(ref, use).then(
        (found) => ({ located: found, refused: undefined }),
        (error: unknown) => ({ located: undefined, refused: error }),
      );
      if (located === undefined) {
        await log.append({ ...entry(use, named(ref)), phase: 'single', outcome: 'refused', ...failure(refused) });
        throw refused;
      }
      const about = entry(use, located.target);
      const intent = await log.intent(about);
      try {
        const opened = await located.open();
        // The intent is durable; the outcome follows with the next commit, and is counted as missing if it cannot.
        log
          .outcome(intent, { ...about, target: { ...about.target, version: opened.version }, outcome: 'opened' })
          .catch(() => undefined);
        return opened;
      } catch (error) {
        await log.outcome(intent, { ...about, outcome: 'failed', ...failure(error) });
        throw error;
      }
    },
  };
}

function entry({ kind, uid, origin, writer, context }: CredentialUse, target: Located['target']): Half {
  return {
    type: 'credential.open',
    target: { ...target, ...(origin === undefined ? {} : { origin }) },
    ...(context ?? {}),
    data: {
      kind,
      uid,
      ...(writer === undefined ? {} : { writer: { issuer: writer.issuer, subject: writer.subject } }),
    },
  };
}

const named = ({ name, namespace, key, env, file }: SecretRef): Located['target'] => {
  const target = { kind: env !== undefined ? 'env' : file !== undefined ? 'file' : 'Secret', namespace, field: key };
  const present = Object.entries({ ...target, name: name ?? env ?? file }).filter(([, value]) => value !== undefined);
  return Object.fromEntries(present);
};

const failure = (error: unknown) => (error instanceof VaultError ? { code: error.code, reason: error.message } : {});
