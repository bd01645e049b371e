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
        await using file = await open(path, 'a+', 0o600);
        const { size } = await file.stat();
        const { buffer, bytesRead } = await file.read(Buffer.alloc(1), 0, 1, Math.max(0, size - 1));
        // A line that was cut when the machine stopped is ended, so that it spoils no other.
        const whole = bytesRead === 0 || buffer.toString() === '\n';
        await file.appendFile(`${whole ? '' : '\n'}${JSON.stringify(checkpoint)}\n`);
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
      return text.split('\n').flatMap(parse);
    },
  };
}

// A line that is no checkpoint was cut while it was written; the checkpoints around it still speak.
function parse(text: string): Checkpoint[] {
  try {
    const { seq, body, signature } = JSON.parse(text) as Partial<Checkpoint>;
    const whole = typeof seq === 'number' && typeof body === 'string' && typeof signature === 'string';
    return whole ? [{ seq, body, signature }] : [];
  } catch {
    return [];
  }
}
