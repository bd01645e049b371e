import type { SecretValue } from '@onbehalf/secret-value';
import { VaultError } from './error.ts';

// What a reader is shown instead of a value: by us, by other consoles, or with the ends left readable.
const masks = [/\[(?:secret|redacted)\]/i, /[•●∙]{3}/, /^\s*\*{3,}\s*$/, /^.{0,12}\*{4,}.{0,6}$/s];

/** @throws VaultError `masked_value` for a form that was read, and sent back as it was */
export function refuseMasked(value: SecretValue): void {
  const text = value.reveal();
  if (masks.some((mask) => mask.test(text))) {
    throw new VaultError('masked_value', 'this is the mask that stands for a stored value, not a value');
  }
}
