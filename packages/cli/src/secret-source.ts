import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import type { Command } from 'commander';
import { CliError } from './error.ts';
import type { Io } from './io.ts';
import { readInput } from './terminal.ts';
import { utf8Text } from './utf8.ts';

/** Never an argument: those are seen by everybody on the machine, and stay in the shell's history. */
export interface SecretSource {
  fromFile?: string;
  fromEnv?: string;
}

export function addSecretSource(command: Command): Command {
  return command
    .option('--from-file <path>', 'read the value from a file')
    .option('--from-env <name>', 'read the value from an environment variable');
}

/** The value, without the newline that editors and `echo` add. */
export async function readSecret(io: Io, { fromFile, fromEnv }: SecretSource): Promise<string> {
  if (fromFile !== undefined && fromEnv !== undefined)
    throw new CliError('usage', '--from-file and --from-env exclude each other');
  const raw =
    fromFile !== undefined
      ? utf8Text(
          await readFile(resolve(io.cwd, fromFile)).catch(() => {
            throw new CliError('usage', `${fromFile} cannot be read`);
          }),
          fromFile,
        )
      : fromEnv !== undefined
        ? (io.env[fromEnv] ?? '')
        : io.stdin.isTTY
          ? await askHidden(io)
          : await readInput(io, 65_536);
  const value = raw.replace(/\r?\n$/, '');
  if (value === '')
    throw new CliError('usage', 'the value is empty', 'give it on standard input, --from-file or --from-env');
  return value;
}

async function askHidden(io: Io): Promise<string> {
  io.stderr.write('Value (it is not shown): ');
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: io.stdin, output: nowhere, terminal: true });
  try {
    return await new Promise<string>((answer, reject) => {
      lines.once('line', answer);
      lines.once('SIGINT', () => reject(new CliError('interrupted', 'interrupted')));
      lines.once('close', () => answer(''));
    });
  } finally {
    lines.close();
    io.stderr.write('\n');
  }
}
