import { open, readFile } from 'node:fs/promises';
import { AuditError } from './error.ts';

/** A signed list of every writer's head. */
export interface Checkpoint {
  seq: number;
  /** The exact signed text. */
  body: string;
  signature: string;
}

/** A place outside the database that keeps what it was given. */
export interface Witness {
  append(checkpoint: Checkpoint): Promise<void>;
  /** All of them, oldest first. */
  read(): Promise<readonly Checkpoint[]>;
}

/** One JSON object per line, only ever appended to, so that the file may carry the file system's append-only flag. */
export function fileWitness(path: string): Witness {
  return {
    async append(checkpoint) {
      try {
        await using file = await open(path, 'a', 0o600);
        await file.appendFile(`${JSON.stringify(checkpoint)}\n`);
        await file.sync();
      } catch (error) {
        throw new AuditError('witness_unreachable', 'the witness cannot be written', error);
      }
    },
    async read() {
      const text = await readFile(path, 'utf8').catch((error: unknown) => {
        if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return '';
        throw new AuditError('witness_unreachable', 'the witness cannot be read', error);
      });
      // The last line is whole or was being written when the machine stopped; then the store has it.
      return text.split('\n').slice(0, -1).map(parse);
    },
  };
}

function parse(text: string): Checkpoint {
  try {
    const { seq, body, signature } = JSON.parse(text) as Checkpoint;
    return { seq: Number(seq), body: String(body), signature: String(signature) };
  } catch (error) {
    throw new AuditError('witness_contradicts', 'the witness holds a line that is no checkpoint', error);
  }
}
