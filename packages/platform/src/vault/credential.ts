import type { SecretReference } from '@onbehalf/resources';
import type { SecretValue } from '@onbehalf/secret-value';
import type { AuditEntry, AuditTarget } from '../audit/index.ts';

/** `{name, key, namespace?}`, `{env}` or `{file}`, as a resource's spec has it. */
export type SecretRef = SecretReference;

/** Who refers to the secret, and where the value is about to be sent. */
export interface CredentialUse {
  /** Kind of the resource that refers to it. */
  kind: string;
  uid: string;
  /** Its namespace; a cluster-scoped kind has none, and names the secret's. */
  namespace?: string;
  /** Scheme, host and port; required by a Secret that names `hosts`. */
  origin?: string;
  /** The last writer of that resource's spec; none for one that comes from a file or the environment. */
  writer?: { issuer: string; subject: string };
  /** What it is opened for, as the audit says it. */
  context?: Pick<AuditEntry, 'session' | 'turn' | 'step' | 'call' | 'requestId' | 'traceId' | 'principal'>;
}

export interface OpenedCredential {
  value: SecretValue;
  /** Changes when the value does. */
  version: string;
}

export interface CredentialSource {
  /** The audit has the intent before the value exists. @throws VaultError, AuditError */
  open(ref: SecretRef, use: CredentialUse): Promise<OpenedCredential>;
}

/** A secret that was found and may be used, before anything of it is opened. */
export interface Located {
  target: AuditTarget;
  open(): Promise<OpenedCredential>;
}

export type MayUse = (
  writer: { issuer: string; subject: string },
  /** For `{env}` and `{file}` the uid is `env` or `file`: no such resource exists, so only an administrator may. */
  secret: { uid: string; namespace: string; name: string },
) => boolean;
