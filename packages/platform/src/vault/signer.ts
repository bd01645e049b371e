import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  hash,
  type KeyObject,
  sign,
  verify,
} from 'node:crypto';
import { SecretValue } from '@onbehalf/secret-value';
import type { Signer } from '../audit/index.ts';

/** PKCS #8, base64url: what is sealed. */
export const newSigningKey = (): SecretValue => {
  const { privateKey } = generateKeyPairSync('ed25519');
  return SecretValue.of(privateKey.export({ format: 'der', type: 'pkcs8' }).toString('base64url'));
};

/** Ed25519 (RFC 8032). The key id is a hash of the public key. */
export function ed25519Signer(value: SecretValue): Signer {
  const key = Buffer.from(value.reveal(), 'base64url');
  const privateKey: KeyObject = createPrivateKey({ key, format: 'der', type: 'pkcs8' });
  const publicKey = createPublicKey(privateKey);
  const spki = publicKey.export({ format: 'der', type: 'spki' });
  return {
    keyId: hash('sha256', spki, 'base64url').slice(0, 16),
    sign: (bytes) => sign(null, bytes, privateKey).toString('base64url'),
    verify: (bytes, signature) => verify(null, bytes, publicKey, Buffer.from(signature, 'base64url')),
  };
}
