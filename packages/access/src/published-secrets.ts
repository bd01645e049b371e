import type { SecretValue } from '@onbehalf/secret-value';

/** Defaults, placeholders and examples of other systems, in lower case: whoever reads them can sign. */
const PUBLISHED: readonly string[] = [
  '8a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5d',
  'your-256-bit-secret',
  'your-secret-key',
  'secret',
  'changeme',
  'sk-1234',
  'random',
  'a-string-secret-at-least-256-bits-long',
  'your-super-secret-jwt-token-with-at-least-32-characters-long',
  'super-secret-jwt-token-with-at-least-32-characters-long',
  'abcdefghijklmnopqrstuvwxyz012345',
  'abcdefghijklmnopqrstuvwxyz123456',
  'abcdefghijklmnopqrstuvwxyz0123456789',
  '0123456789abcdef0123456789abcdef',
  'fvh8zn1nrbrpsmf7dmhpbwo6fjrqxvqs',
];
const PLACEHOLDER = /^your[-_ ]|(change|replace)[-_ ]?(me|this|it|in)\b|changeme/;

/** One character that fills up, any number of times. */
const filled = (group: number) => `(?:(.)\\${group}*)?`;

/** The literal, again and again, with one character's run before, between and behind, and cut off anywhere. */
const REPEATED: readonly RegExp[] = PUBLISHED.map((literal) => {
  const exact = literal.replaceAll(/[^a-z0-9]/g, '\\$&');
  return new RegExp(`^${filled(1)}(?:${exact}${filled(2)})+$`, 's');
});

const FEWEST_CHARACTERS = 8;
const LONGEST_PERIOD = 12;

/** Whether a secret stands in a tutorial or default file, or can be guessed from its pattern, in any case of its letters. */
export function isPublishedSecret(secret: SecretValue): boolean {
  const value = secret.reveal().toLowerCase();
  const characters = [...value];
  return (
    PLACEHOLDER.test(value) ||
    REPEATED.some((pattern) => pattern.test(value)) ||
    PUBLISHED.some((literal) => literal.repeat(Math.ceil(value.length / literal.length)).startsWith(value)) ||
    new Set(characters).size < FEWEST_CHARACTERS ||
    isPeriodic(characters) ||
    isSequential(characters)
  );
}

function isPeriodic(characters: readonly string[]): boolean {
  for (let period = 1; period <= LONGEST_PERIOD && period * 2 <= characters.length; period += 1) {
    if (characters.every((character, at) => at < period || character === characters[at - period])) return true;
  }
  return false;
}

/** Three of four characters follow from the one before: it, the next code point or the one before that. */
function isSequential(characters: readonly string[]): boolean {
  const codes = characters.map((character) => character.codePointAt(0) ?? 0);
  const following = codes.filter((code, at) => Math.abs(code - (codes[at - 1] ?? Number.NaN)) <= 1);
  return following.length * 4 >= codes.length * 3;
}
