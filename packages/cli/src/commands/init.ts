import { writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { nearest, parseDocuments } from '@onbehalf/resources';
import { Argument, InvalidArgumentError } from 'commander';
import { CliError } from '../error.ts';
import { type Starter, starters } from '../starter-documents.ts';
import { examples, type Register, type Task } from '../task.ts';
import { confirm } from '../terminal.ts';

interface Options {
  filename: string;
  name: string;
  url: string;
  agent: string;
  issuer?: string;
  list?: boolean;
}

const DEFAULT = 'agent';

export const registerInit: Register = (program, act) => {
  const template = new Argument('[template]', `what to start from (default: ${DEFAULT}); --list shows all`);
  // For completion; an unknown one is answered below, with the one that was meant.
  template.argChoices = Object.keys(starters);
  program
    .command('init')
    .summary('write documents to start from')
    .description(
      'Writes a file of commented resources: an agent, its tool server, and the token service of your choice.',
    )
    .addArgument(template)
    .option('-f, --filename <path>', 'where to; - is standard output', 'onbehalf.resources.yaml')
    .option('--name <name>', 'of the tool server', label, 'orders')
    .option('--url <url>', 'of the tool server', address, 'https://orders.example.com/mcp')
    .option('--agent <name>', 'of the agent', label, 'assistant')
    .option('--issuer <url>', 'of the token service', address)
    .option('--list', 'which templates there are')
    .addHelpText(
      'after',
      examples(
        'init',
        'init keycloak --issuer https://login.example.com/realms/office --url https://orders.internal/mcp',
        'init -f - | onbehalf apply --dry-run -f -',
      ),
    )
    .action(act<Options, [string | undefined]>(init));
};

async function init(task: Task, options: Options, word: string | undefined): Promise<void> {
  const { globals, out } = task;
  if (options.list) return list(task);
  const template = word ?? DEFAULT;
  const starter = requireStarter(template);
  const { filename, agent, name: server, url, issuer } = options;
  const text = starter.write({ agent, server, url, issuer, namespace: globals.namespace });
  const [mistake] = parseDocuments(text, template).errors;
  if (mistake)
    throw new CliError('usage', `these values do not fit: ${mistake.path}: ${mistake.message}`, 'onbehalf init --help');
  if (filename === '-') return out.piece(text);
  await write(task, filename, text);
  out.one({ file: filename, template }, filename, () => `${filename} written`);
  out.hint('Fill in what is yours, then:');
  for (const { name, key, what } of starter.secrets)
    out.hint(`  onbehalf secret set ${name} ${key} --from-file FILE    # ${what}`);
  out.hint(`  onbehalf apply -f ${filename} --dry-run\n  onbehalf explain agent/${agent}`);
}

/** Both go into YAML as they are written. */
function label(text: string): string {
  if (!/^[a-z0-9-]{1,63}$/.test(text)) throw new InvalidArgumentError('must be lower-case letters, digits and "-"');
  return text;
}

function address(text: string): string {
  if (!/^https?:\/\/[^\s"'{}[\],#]+$/.test(text))
    throw new InvalidArgumentError('must be an address that begins with https://');
  return text;
}

function list({ out }: Task): void {
  const items = Object.entries(starters).map(([name, { about }]) => ({ name, about }));
  const columns = [
    { title: 'TEMPLATE', value: (item: { name: string }) => item.name },
    { title: 'FOR', value: (item: { about: string }) => item.about },
  ];
  out.list(items, columns, ({ name }) => name, '');
}

function requireStarter(word: string): Starter {
  const found = Object.hasOwn(starters, word) ? starters[word] : undefined;
  if (found) return found;
  const names = Object.keys(starters);
  const meant = nearest(word, names);
  const hint = meant ? `did you mean ${meant}?` : `known are ${names.join(', ')}`;
  throw new CliError('usage', `there is no template ${word}: ${hint}`, 'onbehalf init --list');
}

/** What is there stays there, unless somebody says otherwise. */
async function write({ io, globals }: Task, filename: string, text: string): Promise<void> {
  const path = resolve(io.cwd, filename);
  const attempt = async (flag: 'wx' | 'w') => {
    try {
      await writeFile(path, text, { flag });
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
      throw new CliError('usage', `${filename} cannot be written`);
    }
  };
  if (await attempt('wx')) return;
  await confirm(io, `${filename} is there already. Overwrite it?`, globals);
  await attempt('w');
}
