import { mkdir, open, readFile, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { checkpointHash } from './chain.ts';
import { AuditError } from './error.ts';
import type { Signer } from './signer.ts';

/** A signed list of every writer's head. */
export interface Checkpoint {
  seq: number;
  /** The exact signed text. */
  body: string;
  signature: string;
}

/** What an administrator said after a restore. */
export interface Accepted {
  /** ISO 8601 */
  at: string;
  /** The checkpoints from this number on, as the witness had them, count no more. */
  from: number;
  by: string;
  reason: string;
}

/** The signed text of it, bound to the checkpoint that the witness had last. */
export interface Acceptance {
  accept: string;
  signature: string;
}

export type WitnessEntry = Checkpoint | Acceptance;

/** A place outside the database that keeps what it was given. */
export interface Witness {
  /** For people. */
  readonly place: string;
  append(entry: WitnessEntry): Promise<void>;
  /** All of them, oldest first. */
  read(): Promise<readonly WitnessEntry[]>;
  /** Whoever can write there whatever the server does, as far as it is known. */
  owner?(): Promise<string | undefined>;
}

/** What the witness holds against the store: without what was set aside, under the right signature, after a restore. */
export function inForce(
  entries: readonly WitnessEntry[],
  signer: Pick<Signer, 'verify'>,
): { checkpoints: Checkpoint[]; accepted: Accepted[]; last: string } {
  let checkpoints: Checkpoint[] = [];
  const accepted: Accepted[] = [];
  let last = '';
  for (const entry of entries) {
    if ('accept' in entry) {
      const said = parseAcceptance(entry, signer);
      if (said === undefined || said.last !== last) continue;
      const { at, from, by, reason } = said;
      checkpoints = checkpoints.filter(({ seq }) => seq < from);
      accepted.push({ at, from, by, reason });
    } else {
      checkpoints.push(entry);
      last = checkpointHash(entry.body, entry.signature);
    }
  }
  return { checkpoints, accepted, last };
}

/** @param last hash of the checkpoint that the witness had last */
export function makeAcceptance(signer: Signer, said: Accepted & { last: string }): Acceptance {
  const accept = JSON.stringify({ v: 1, keyId: signer.keyId, ...said });
  return { accept, signature: signer.sign(signed(accept)) };
}

function parseAcceptance({ accept, signature }: Acceptance, signer: Pick<Signer, 'verify'>) {
  return signer.verify(signed(accept), signature) ? (JSON.parse(accept) as Accepted & { last: string }) : undefined;
}

// No checkpoint can be taken for an acceptance: the signed bytes begin otherwise.
const signed = (accept: string) => Buffer.from(`onbehalf-accept-1\n${accept}`);

/** One JSON object per line, only ever appended to, so that the file may carry the file system's append-only flag. */
export function fileWitness(path: string): Witness {
  return {
    place: path,
    async append(entry) {
      try {
        await mkdir(dirname(path), { recursive: true, mode: 0o700 });
        await using file = await open(path, 'a+', 0o600);
        const { size } = await file.stat();
        const { buffer, bytesRead } = await file.read(Buffer.alloc(1), 0, 1, Math.max(0, size - 1));
        // A line that was cut when the machine stopped is ended, so that it spoils no other.
        const whole = bytesRead === 0 || buffer.toString() === '\n';
        await file.appendFile(`${whole ? '' : '\n'}${JSON.stringify(entry)}\n`);
        await file.sync();
      } catch (error) {
        throw new AuditError('witness_unreachable', `the witness ${path} cannot be written`, error);
      }
    },
    async read() {
      const text = await readFile(path, 'utf8').catch((error: unknown) => {
        if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return '';
        throw new AuditError('witness_unreachable', `the witness ${path} cannot be read`, error);
      });
      return text.split('\n').flatMap(parse);
    },
    async owner() {
      const uid = await stat(path).then(
        (found) => found.uid,
        () => undefined,
      );
      return uid === undefined ? undefined : `the account with uid ${uid}`;
    },
  };
}

// A line that is no entry was cut while it was written; those around it still speak.
function parse(text: string): WitnessEntry[] {
  try {
    const { seq, body, accept, signature } = JSON.parse(text) as Partial<Checkpoint & Acceptance>;
    if (typeof signature !== 'string') return [];
    if (typeof accept === 'string') return [{ accept, signature }];
    return typeof seq === 'number' && typeof body === 'string' ? [{ seq, body, signature }] : [];
  } catch {
    return [];
  }
}
