import { Command, CommanderError } from 'commander';
import { registerApply } from './commands/apply.ts';
import { registerAudit } from './commands/audit.ts';
import { registerCanI } from './commands/can-i.ts';
import { registerChat } from './commands/chat.ts';
import { registerCompletion } from './commands/completion.ts';
import { registerConfirm } from './commands/confirm.ts';
import { registerContext } from './commands/context.ts';
import { registerDoctor } from './commands/doctor.ts';
import { registerExchanges } from './commands/exchanges.ts';
import { registerExplain } from './commands/explain.ts';
import { registerGet } from './commands/get.ts';
import { registerGrant } from './commands/grant.ts';
import { registerInit } from './commands/init.ts';
import { registerInvoke } from './commands/invoke.ts';
import { registerLogin } from './commands/login.ts';
import { registerMcp } from './commands/mcp.ts';
import { registerSecret } from './commands/secret.ts';
import { registerSessions } from './commands/sessions.ts';
import { registerUp } from './commands/up.ts';
import { registerUser } from './commands/user.ts';
import { registerVersion } from './commands/version.ts';
import { EXIT, explainError } from './error.ts';
import { addGlobalOptions } from './globals.ts';
import type { Io } from './io.ts';
import { json } from './output.ts';
import { type Act, createAct, type Register } from './task.ts';
import { printable, styler } from './terminal.ts';

/** In the order of the help. */
const commands: readonly Register[] = [
  registerUp,
  registerInit,
  registerApply,
  registerGet,
  registerExplain,
  registerChat,
  registerInvoke,
  registerSessions,
  registerLogin,
  registerContext,
  registerUser,
  registerGrant,
  registerConfirm,
  registerCanI,
  registerDoctor,
  registerAudit,
  registerExchanges,
  registerMcp,
  registerSecret,
  registerCompletion,
  registerVersion,
];

export function createProgram(io: Io, act: Act): Command {
  const program = new Command('onbehalf')
    .description('AI agents that act on behalf of people: with each person’s authority, and nothing more.')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
      // Errors are written in one place, below.
      outputError: () => undefined,
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    })
    .enablePositionalOptions()
    .configureHelp({
      subcommandTerm: (command) => [command.name(), command.usage().replace(/^\[options\] ?/, '')].join(' ').trim(),
    })
    .helpCommand(false)
    .addHelpText(
      'after',
      '\nExit codes: 0 ok, 1 failure, 2 usage, 3 not authenticated, 4 server unreachable, 5 not found, 6 denied by policy,\n7 conflict, 8 agent or tool error, 9 time-out, 130 interrupted.\n',
    );
  for (const register of commands) register(program, act);
  addGlobalOptions(program);
  return program;
}

/** Runs one command line and returns its exit code. Nothing is thrown. */
export async function run(argv: readonly string[], io: Io): Promise<number> {
  let exit: number = EXIT.ok;
  const program = createProgram(
    io,
    createAct(io, (code) => {
      exit = code;
    }),
  );
  try {
    await program.parseAsync(argv, { from: 'user' });
    return exit;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return EXIT.ok;
    // Help that nobody asked for has said what is wrong.
    if (error instanceof CommanderError && error.code === 'commander.help') return EXIT.usage;
    const explained = explainError(error, io.signal.aborted, helpFor(program, argv));
    const style = styler(io, io.stderr);
    io.stderr.write(`${style('red', 'error:')} ${printable(explained.message)}\n`);
    for (const { file, line, path, message } of explained.errors ?? [])
      io.stderr.write(`  ${printable(`${file}:${line}: ${path === '' ? '' : `${path}: `}${message}`)}\n`);
    if (explained.next !== undefined) io.stderr.write(`  next: ${printable(explained.next)}\n`);
    if (wantsJson(argv)) io.stderr.write(`${json({ error: explained })}\n`);
    return explained.exit;
  }
}

/** The help of the command that was meant, as far as the words name one. */
function helpFor(program: Command, argv: readonly string[]): string {
  const path = [program];
  for (const word of argv) {
    const next = path.at(-1)?.commands.find((command) => command.name() === word);
    if (next) path.push(next);
  }
  return `${path.map((command) => command.name()).join(' ')} --help`;
}

/** Also where the command line could not be parsed as a whole. */
function wantsJson(argv: readonly string[]): boolean {
  return argv.some(
    (word, index) =>
      word === '-ojson' ||
      word === '--output=json' ||
      (word === 'json' && /^(-o|--output)$/.test(argv[index - 1] ?? '')),
  );
}
