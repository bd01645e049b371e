/**
 * The vault: sealed values, and the only room that returns a plaintext credential. Values are encrypted under data keys
 * of their own, those under one wrapping key; what is derived (keyed hashes, cookie keys) comes from a sealed root. It
 * may use the store, the audit and secret values. It never logs a value, never hands one to a reader of resources, and
 * opens nothing for a resource without the audit.
 */
export type { CredentialSource, CredentialUse, MayUse, OpenedCredential, SecretRef } from './credential.ts';
export { VaultError, type VaultErrorCode } from './error.ts';
export { installationOf, nameInstallation } from './key-file.ts';
export type { KeyValue } from './key-ring.ts';
export type { Rewrapped } from './rewrap.ts';
export type { Where } from './sealed-rows.ts';
export { openTls } from './tls.ts';
export { openVault, type SealedField, type Vault, type VaultOptions } from './vault.ts';
export { openVerifier } from './verifier.ts';
