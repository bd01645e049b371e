import { randomUUID } from 'node:crypto';
import type { Client } from '@onbehalf/client';
import { milliseconds, type SessionEvent } from '@onbehalf/resources';
import { CliError } from '../error.ts';
import { json } from '../output.ts';
import { requireAddress } from '../resource-names.ts';
import { examples, type Register, type Task } from '../task.ts';
import { readInput } from '../terminal.ts';
import { createTranscript } from '../transcript.ts';

interface Options {
  message?: string;
  session?: string;
  stream?: boolean;
  timeout?: string;
}

export const registerInvoke: Register = (program, act) => {
  program
    .command('invoke <agent>')
    .summary('say one thing to an agent')
    .description(
      'Says one thing, waits for the end of the turn and prints the answer. Exit code 8 where the turn failed.',
    )
    .option('-m, --message <text>', 'what to say; - or nothing: standard input')
    .option('--session <id>', 'go on with this session (default: a new one)')
    .option('--stream', 'print the answer as it is written (with -o jsonl: every event)')
    .option('--timeout <duration>', 'stop the turn after so long, such as 90s; exit code 9')
    .addHelpText(
      'after',
      examples(
        'invoke assistant -m "Which of my orders are open?"',
        'invoke assistant --stream -o jsonl < question.txt',
        'invoke team.assistant -m hello -o json',
      ),
    )
    .action(act<Options, [string]>(invoke));
};

async function invoke(task: Task, options: Options, name: string): Promise<void> {
  const { io, out } = task;
  const agent = requireAddress(name, task.globals);
  const said = options.message === undefined || options.message === '-' ? await readInput(io) : options.message;
  const content = said.trim();
  if (content === '') throw new CliError('usage', 'there is nothing to say', `onbehalf invoke ${name} -m TEXT`);
  const limit = options.timeout === undefined ? undefined : AbortSignal.timeout(limitMs(options.timeout));
  const signal = limit ? AbortSignal.any([io.signal, limit]) : io.signal;
  const { client } = task.server();
  const session = options.session ?? (await client.createSession(agent)).id;
  const transcript = createTranscript(io, out);
  const asText = out.format === 'table' || out.format === 'wide';
  const idempotencyKey = randomUUID();
  let turn = '';
  const onEvent = (event: SessionEvent) => {
    turn = event.turn;
    if (options.stream && out.format === 'jsonl') return out.line(json(event));
    // Without --stream an answer is printed whole.
    if (asText && (options.stream || event.type !== 'delta')) transcript(event);
  };
  const end = await runTurn(client, { agent, session, content, idempotencyKey, signal, onEvent }).catch(
    (error: unknown) => {
      if (limit?.aborted && !io.signal.aborted)
        throw new CliError('timeout', `the turn took longer than ${options.timeout} and was stopped`);
      throw error;
    },
  );
  // The same message with the same key: its outcome, not another turn.
  if (!asText && !options.stream)
    out.one(await client.sendMessage(agent, session, content, { idempotencyKey, signal }), session, () => '');
  out.hint(`session ${session}, turn ${turn}`);
  requireCompleted(end);
}

export interface TurnRequest {
  agent: { name: string; namespace: string | undefined };
  session: string;
  content: string;
  idempotencyKey?: string;
  signal: AbortSignal;
  onEvent(event: SessionEvent): void;
}

type TurnEnd = Extract<SessionEvent, { type: 'turn.ended' }>['data'];

/** Runs one turn to its end. Whoever stops waiting stops the turn as well. */
export async function runTurn(client: Client, request: TurnRequest): Promise<TurnEnd> {
  const { agent, session, content, idempotencyKey, signal, onEvent } = request;
  try {
    for await (const event of client.streamMessage(agent, session, content, { signal, idempotencyKey })) {
      onEvent(event);
      if (event.type === 'turn.ended') return event.data;
      // The next command signs in anew and brings its own token: nothing is to wait for it.
      if (event.type === 'auth.required') {
        await client.stopSession(agent, session);
        throw new CliError(
          'unauthenticated',
          'your sign-in has run out: the turn was stopped',
          'onbehalf login, and say it again',
        );
      }
    }
  } catch (error) {
    if (signal.aborted) await client.stopSession(agent, session).catch(() => undefined);
    throw error;
  }
  throw new CliError('agent', 'the answer was cut off', `onbehalf sessions show ${session}`);
}

export function requireCompleted(end: TurnEnd): void {
  if (end.state === 'completed') return;
  const why = end.message ?? end.code ?? '';
  if (end.code === 'max_duration') throw new CliError('timeout', why);
  throw new CliError(
    'agent',
    `the turn ${end.state === 'failed' ? 'failed' : `was ${end.state}`}${why === '' ? '' : `: ${why}`}`,
  );
}

function limitMs(text: string): number {
  try {
    return milliseconds(text);
  } catch {
    throw new CliError('usage', `${text} is no duration: write 30s, 10m or 1h`);
  }
}
