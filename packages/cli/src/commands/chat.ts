import { createInterface } from 'node:readline';
import { ApiError } from '@onbehalf/client';
import { CliError, explainError } from '../error.ts';
import { requireAddress } from '../resource-names.ts';
import { examples, type Register, type Task } from '../task.ts';
import { printable, styler } from '../terminal.ts';
import { createTranscript } from '../transcript.ts';
import { requireCompleted, runTurn } from './invoke.ts';

interface Options {
  session?: string;
}

export const registerChat: Register = (program, act) => {
  program
    .command('chat <agent>')
    .summary('talk to an agent')
    .description('One line, one message. Ctrl-C stops the turn that runs, and ends the chat where none does.')
    .option('--session <id>', 'go on with this session (default: a new one)')
    .addHelpText(
      'after',
      examples('chat assistant', 'chat assistant --session 6f1c…', 'chat assistant < questions.txt'),
    )
    .action(act<Options, [string]>(chat));
};

async function chat(task: Task, options: Options, name: string): Promise<void> {
  const { io, out, globals } = task;
  if (out.format !== 'table' && out.format !== 'wide')
    throw new CliError('usage', 'a chat is for people', `onbehalf invoke ${name} -m TEXT -o ${out.format}`);
  const agent = requireAddress(name, globals);
  const { client } = task.server();
  const session = options.session ?? (await client.createSession(agent)).id;
  const style = styler(io, io.stderr);
  const interactive = io.stdin.isTTY === true && io.stderr.isTTY === true;
  if (interactive) out.hint(style('dim', `session ${session}; an empty line or Ctrl-D ends it`));
  const show = createTranscript(io, out);
  const lines = createInterface({
    input: io.stdin,
    output: interactive ? io.stderr : undefined,
    terminal: interactive,
  });
  let running: AbortController | undefined;
  const interrupt = () => (running ? running.abort() : lines.close());
  lines.on('SIGINT', interrupt);
  io.signal.addEventListener('abort', () => lines.close(), { once: true });
  lines.setPrompt(style('bold', 'you> '));
  if (interactive) lines.prompt();
  try {
    for await (const line of lines) {
      const content = line.trim();
      if (content === '' && interactive) break;
      if (content === '') continue;
      running = new AbortController();
      const signal = AbortSignal.any([io.signal, running.signal]);
      try {
        requireCompleted(await runTurn(client, { agent, session, content, signal, onEvent: show }));
      } catch (error) {
        if (io.signal.aborted || (!running.signal.aborted && !interactive) || isFinal(error)) throw error;
        const text = running.signal.aborted ? 'stopped' : explainError(error, false).message;
        io.stderr.write(`${style('red', printable(text))}\n`);
      }
      running = undefined;
      if (interactive) lines.prompt();
    }
  } finally {
    lines.close();
  }
  if (io.signal.aborted) throw new CliError('interrupted', 'interrupted');
}

/** Another line would fare no better. */
const isFinal = (error: unknown) => error instanceof ApiError && [401, 403, 404].includes(error.status);
