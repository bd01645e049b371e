import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileWitness, type Witness } from './audit/index.ts';

const remembered = (dataDir: string) => join(dataDir, 'witness-place');

/** Leaves in the data directory where the witness is, for whoever judges the audit of the stopped server. */
export function rememberWitness(dataDir: string, auditWitness: string | undefined): void {
  writeFileSync(remembered(dataDir), `${auditWitness ?? ''}\n`, { mode: 0o600 });
}

/** Where the server had it the last time; undefined: in its usual place, or it never said. */
export function witnessPlace(dataDir: string): string | undefined {
  try {
    return readFileSync(remembered(dataDir), 'utf8').trim() || undefined;
  } catch {
    return undefined;
  }
}

/** The audit's witness: as said, else a file of this user's for each installation. */
export function witnessOf(
  { auditWitness, stateDir }: { auditWitness?: string | undefined; stateDir: string | undefined },
  installation: string | undefined,
): Witness | undefined {
  if (auditWitness === 'none') return undefined;
  if (auditWitness !== undefined) return fileWitness(auditWitness);
  if (stateDir === undefined || installation === undefined) return undefined;
  return fileWitness(join(stateDir, 'witness', `${installation}.jsonl`));
}

/** What the person who starts the server is told of the witness, if anything. */
export function witnessNote(witness: Witness | undefined, state: string): string | undefined {
  if (witness === undefined)
    return 'the audit has no witness: nothing shows if its newest lines are cut off (auditWitness names one)';
  if (state === 'unreachable')
    return `the audit witness ${witness.place} cannot be written: until it can, nothing shows if the newest lines are cut off`;
  if (state === 'contradicts')
    return `the audit witness ${witness.place} knows of lines that this store does not have. If a backup was restored: onbehalf audit witness accept --reason "…"; else somebody cut the audit: onbehalf audit verify`;
  return undefined;
}
