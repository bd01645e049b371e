import type { Accepted } from './witness.ts';

/** One thing that is proven, and against whom: `nobody` where nothing is. */
export interface Proof {
  /** `unchanged`: no line under a checkpoint was changed after that was made. `complete`: none of them is missing. */
  claim: 'unchanged' | 'complete';
  /** ISO 8601: of the first and the last checkpoint that the claim rests on. */
  since: string | null;
  until: string | null;
  against: string;
}

export interface Verified {
  ok: true;
  entries: number;
  writers: number;
  checkpoints: number;
  /** Persons of lines of whom nothing is left; as many as were erased. */
  erased: number;
  proofs: Proof[];
  witness: WitnessReport;
}

export interface WitnessReport {
  state: 'none' | 'unreachable' | 'empty' | 'agrees';
  /** Where it is. */
  place?: string;
  /** What was set aside when a backup was restored. */
  accepted: Accepted[];
}

export interface Tampered {
  ok: false;
  /** The writer, or `checkpoint` for the list of checkpoints itself, or `persons` for what stands beside the lines. */
  writer: string;
  /** The first bad number; for `persons`, how many are missing that nobody erased. */
  seq: number;
  /** Where the first bad number can only be bounded (the chain was computed anew): the last it can be. */
  upTo?: number;
  reason:
    | 'edited'
    | 'deleted'
    | 'swapped'
    | 'duplicated'
    | 'truncated'
    | 'missing writer'
    | 'checkpoint'
    | 'removed without an erasure';
}
