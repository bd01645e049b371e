import { CodedError } from '@onbehalf/resources';

export type VaultErrorCode =
  | 'key_missing' // there is ciphertext and no key file
  | 'key_exposed' // the key file can be read by others
  | 'key_invalid' // not 32 bytes in base64url
  | 'wrong_key' // the key does not open what is stored
  | 'key_rotated' // sealed under a key that was replaced before the commit: seal again
  | 'sealed_damaged' // a sealed value is not what was stored, or not where it was stored
  | 'secret_not_found'
  | 'secret_not_usable' // the writer of the reference may not, or may no longer, use it
  | 'kind_not_allowed' // not among the Secret's `usableBy`
  | 'host_not_allowed' // not among the Secret's `hosts`
  | 'masked_value' // a mask that was read came back as the value
  | 'source_not_supported'
  | 'not_attached' // a credential was asked for before there is an audit
  | 'closed';

export class VaultError extends CodedError<VaultErrorCode> {
  /** One line for the operator: what to do. */
  readonly repair?: string;

  constructor(code: VaultErrorCode, message: string, options: { cause?: unknown; repair?: string } = {}) {
    super(code, message, options);
    if (options.repair !== undefined) this.repair = options.repair;
  }
}
