import { isObject } from '@onbehalf/resources';
import type { Carried } from './provider-answer.ts';

const MOST = 262_144;

/**
 * Puts together from its parts what goes back to a provider as it is: texts are appended to, and parts of a list that
 * belong together become one. More than 256 KiB are dropped: nothing goes back rather than half of it.
 */
export class CarriedParts {
  readonly #parts: Record<string, unknown> = {};
  #size = 0;

  add(carried: Carried): void {
    if (Object.keys(carried).length === 0) return;
    this.#size += JSON.stringify(carried).length;
    if (this.#size > MOST) return;
    for (const [name, value] of Object.entries(carried)) {
      const known = this.#parts[name];
      if (typeof value === 'string') this.#parts[name] = `${typeof known === 'string' ? known : ''}${value}`;
      else if (Array.isArray(value)) this.#parts[name] = value.reduce(joined, Array.isArray(known) ? known : []);
      else this.#parts[name] = value;
    }
  }

  whole(): Carried | undefined {
    return this.#size === 0 || this.#size > MOST ? undefined : this.#parts;
  }
}

/** Texts of a block that go on; the rest of it is said once. A block that is signed is complete. */
const GOES_ON = ['text', 'summary', 'thinking', 'data'] as const;

function joined(blocks: readonly unknown[], part: unknown): unknown[] {
  const last = blocks.at(-1);
  const same =
    isObject(last) &&
    isObject(part) &&
    (last.type === part.type || part.type === undefined) &&
    last.index === part.index &&
    !('signature' in last && last.signature);
  if (!same) return [...blocks, part];
  const whole: Record<string, unknown> = { ...last, ...part };
  for (const name of GOES_ON)
    if (typeof last[name] === 'string' && typeof part[name] === 'string') whole[name] = `${last[name]}${part[name]}`;
  return [...blocks.slice(0, -1), whole];
}
