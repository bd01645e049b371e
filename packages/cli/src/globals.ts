import { type Command, Option } from 'commander';
import { type Format, formats } from './output.ts';
import type { Selection } from './server.ts';

/** What every command understands, wherever it is written. */
export interface Globals extends Selection {
  output: Format;
  quiet?: boolean;
  yes?: boolean;
  /** False with --no-input. */
  input: boolean;
  namespace?: string;
}

const GROUP = 'Global options:';

const make = () =>
  [
    new Option('-o, --output <format>', 'how data is printed').choices(formats).default('table'),
    new Option('-n, --namespace <name>', 'namespace (default: "default"; in lists: all)'),
    new Option(
      '--server <url>',
      'the server (default: ONBEHALF_URL, else what runs here, else that of your last login)',
    ),
    new Option('--local', 'over the administration socket of the server on this machine'),
    new Option('--data-dir <dir>', 'its data directory (default: ONBEHALF_DATA_DIR, ./.onbehalf, else the XDG one)'),
    new Option('-q, --quiet', 'no progress and no hints'),
    new Option('-y, --yes', 'do not ask'),
    new Option('--no-input', 'never ask: fail instead'),
  ].map((option) => option.helpGroup(GROUP));

/** Adds them to a command and to all below it, but for a flag that a command has for itself (`audit ls --server`). */
export function addGlobalOptions(command: Command): void {
  for (const option of make())
    if (!command.options.some((own) => own.long === option.long || (own.short && own.short === option.short)))
      // Told once, in the help of the program.
      command.addOption(option.hideHelp(command.parent !== null));
  for (const below of command.commands) addGlobalOptions(below);
}

/** What a command has for itself. */
export function ownOptions(command: Command): Record<string, unknown> {
  const own = command.options.filter((option) => option.helpGroupHeading !== GROUP);
  return Object.fromEntries(
    own.flatMap((option) => {
      const value: unknown = command.getOptionValue(option.attributeName());
      return value === undefined ? [] : [[option.attributeName(), value]];
    }),
  );
}

/** The innermost command on which a flag was written wins. */
export function globalsOf(command: Command): Globals {
  const found: Record<string, unknown> = {};
  for (let at: Command | null = command; at; at = at.parent)
    for (const option of at.options) {
      const name = option.attributeName();
      if (option.helpGroupHeading !== GROUP) continue;
      const said = at.getOptionValueSource(name) === 'cli';
      if (said && !(name in found)) found[name] = at.getOptionValue(name);
    }
  return { output: 'table', input: true, ...found } as Globals;
}
