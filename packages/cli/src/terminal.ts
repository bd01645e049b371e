import { createInterface } from 'node:readline/promises';
import { CliError } from './error.ts';
import type { Io } from './io.ts';
import { utf8Text } from './utf8.ts';

const STYLES = { bold: '1', dim: '2', red: '31', green: '32', yellow: '33' } as const;

/** Colour only where a person looks, and has not said no (no-color.org). */
export function styler(io: Pick<Io, 'env'>, stream: { isTTY?: boolean }) {
  const on = stream.isTTY === true && !io.env.NO_COLOR && io.env.TERM !== 'dumb';
  return (style: keyof typeof STYLES, text: string) => (on ? `\u001b[${STYLES[style]}m${text}\u001b[0m` : text);
}

/** Names, tool results and model output are foreign: no byte of them may command the terminal. */
export function printable(text: string): string {
  return text.replace(
    /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** One line of a table or a hint. */
export const oneLine = (text: string) => printable(text.replace(/\s*\n\s*/g, ' ').replaceAll('\t', ' '));

/** Asks before what cannot be taken back. Without a terminal nobody can answer, and `--yes` must say so. */
export async function confirm(io: Io, question: string, flags: { yes?: boolean; input?: boolean }): Promise<void> {
  if (flags.yes) return;
  if (flags.input === false || !io.stdin.isTTY || !io.stderr.isTTY)
    throw new CliError('usage', `${question} Nobody can answer here`, 'the same command with --yes');
  const prompt = createInterface({ input: io.stdin, output: io.stderr });
  try {
    const answer = await prompt.question(`${question} [y/N] `, { signal: io.signal });
    if (!/^y(es)?$/i.test(answer.trim())) throw new CliError('failure', 'nothing was changed');
  } finally {
    prompt.close();
  }
}

/** Standard input as a whole; for secrets and documents. */
export async function readInput(io: Io, maxBytes = 2_621_440): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of io.stdin) {
    const bytes = Buffer.from(chunk as Buffer | string);
    size += bytes.length;
    if (size > maxBytes) throw new CliError('usage', `standard input is larger than ${maxBytes} bytes`);
    chunks.push(bytes);
  }
  return utf8Text(Buffer.concat(chunks), 'standard input');
}
