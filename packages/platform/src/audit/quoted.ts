import { redact, type SecretValue } from '@onbehalf/secret-value';
import { cleanText } from './line.ts';

const MOST_READ = 4_096;
const MOST_SAID = 300;

/**
 * What somebody else said, as it may be told: one line, bounded, nothing invisible, without the secrets that were sent to
 * them. These are taken out before anything is cut, or a part of one could stand at the end.
 */
export function quoted(text: string, sent: readonly SecretValue[]): string {
  const line = redact(text, sent).slice(0, MOST_READ).replace(/\s+/g, ' ').trim();
  const clean = cleanText(line);
  return clean.length > MOST_SAID ? `${clean.slice(0, MOST_SAID).toWellFormed()}…` : clean;
}
