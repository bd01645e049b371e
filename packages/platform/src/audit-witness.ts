import { join } from 'node:path';
import { fileWitness, type Witness } from './audit/index.ts';

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
