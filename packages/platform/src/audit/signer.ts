/** Signs checkpoints. `vault` makes one whose key is sealed. Signatures are base64url. */
export interface Signer {
  readonly keyId: string;
  sign(bytes: Uint8Array): string;
  verify(bytes: Uint8Array, signature: string): boolean;
}
