import { ApiError } from '@onbehalf/client';
import { type ApplyResult, milliseconds, notYetHonoured, type ParsedDocument } from '@onbehalf/resources';
import { InvalidArgumentError } from 'commander';
import { complaintText } from '../complaints.ts';
import { readSources, type Source } from '../documents.ts';
import { CliError } from '../error.ts';
import { kindWord } from '../resource-names.ts';
import { settled } from '../settled.ts';
import { examples, type Register, type Task } from '../task.ts';
import { confirm, oneLine } from '../terminal.ts';

interface Sources {
  filename: string[];
  recursive?: boolean;
}

interface Options extends Sources {
  dryRun?: boolean;
  prune?: boolean;
  rebind?: boolean;
  /** Milliseconds. */
  wait: number;
}

const FILES = '-f, --filename <path...>';
const RECURSIVE = ['-R, --recursive', 'folders below a folder too, but no hidden one and no node_modules'] as const;

export const registerApply: Register = (program, act) => {
  program
    .command('apply')
    .summary('make the server have what files say')
    .description('Creates or changes every resource of the files, all or nothing.')
    .requiredOption(FILES, 'files, folders, or - for standard input')
    .option(...RECURSIVE)
    .option('--dry-run', 'say what would happen, and change nothing')
    .option('--prune', 'delete what an earlier apply of the same file made and that is not in it any more')
    .option('--rebind', 'give what is meant now what Grants gave to things of the same name that are gone')
    .option('--wait <duration>', 'how long to wait for tool servers and agents to be ready; 0: not', waiting, 5_000)
    .addHelpText(
      'after',
      examples('apply -f agent.yaml', 'apply -f ./resources --dry-run', 'apply -f - --local < agent.yaml'),
    )
    .action(act<Options, []>(apply));
  program
    .command('validate')
    .summary('find every mistake in files, without a server')
    .description('Checks files against the schemas. What only a server knows (references, rights) is not checked.')
    .requiredOption(FILES, 'files, folders, or - for standard input')
    .option(...RECURSIVE)
    .addHelpText('after', examples('validate -f agent.yaml', 'validate -f ./resources -o json'))
    .action(
      act<Sources, []>(async ({ io, out }, { filename, recursive = false }) => {
        const sources = await readSources(io, filename, recursive);
        refuseMistakes(sources);
        const documents = sources.flatMap(({ parsed }) => parsed.documents);
        for (const { file, lineOf, input } of documents)
          for (const idle of notYetHonoured(input))
            out.hint(oneLine(`${file}:${lineOf(idle.split(':')[0] ?? '')}: without effect: ${idle}`));
        out.one({ valid: true, documents: documents.length }, 'valid', () => `${documents.length} documents are valid`);
      }),
    );
};

async function apply(task: Task, options: Options): Promise<void> {
  const { io, globals, out } = task;
  const { filename, recursive = false, dryRun = false, prune = false, rebind = false } = options;
  const sources = await readSources(io, filename, recursive);
  refuseMistakes(sources);
  const { client } = task.server();
  const [first] = sources;
  const placed = sources.flatMap(({ parsed }) => parsed.documents);
  // One file goes as it is, so that the server's own errors name its lines.
  const request =
    first && sources.length === 1
      ? { documents: first.text, file: first.file }
      : { documents: placed.map(({ input }) => input), file: filename.join(' ').slice(0, 256) };
  const send = (trial: boolean) =>
    client.apply({ ...request, dryRun: trial, prune, ...(rebind && { rebind }) }).catch((error: unknown) => {
      throw sources.length === 1 ? error : relocated(error, placed);
    });
  if (prune && !dryRun) {
    const doomed = (await send(true)).results.filter(({ action }) => action === 'deleted').map(nameOf);
    if (doomed.length > 0) await confirm(io, `Delete ${doomed.join(', ')}?`, globals);
  }
  const result = await send(dryRun);
  if (out.format === 'table' || out.format === 'wide')
    for (const line of result.results)
      out.line(`${nameOf(line)} ${line.action}${rebindText(line, rebind)}${dryRun ? ' (dry run)' : ''}`);
  else out.list(result.results, [], nameOf, '');
  if (!dryRun && options.wait > 0)
    for (const complaint of await settled(client, result.results, options.wait, io.signal))
      out.hint(complaintText(complaint));
  else
    for (const line of result.results)
      for (const problem of line.unresolved ?? []) out.hint(oneLine(`${nameOf(line)} waits: ${problem}`));
}

function waiting(text: string): number {
  try {
    return text === '0' ? 0 : milliseconds(text);
  } catch {
    throw new InvalidArgumentError('must be 0, or a duration such as 5s');
  }
}

function nameOf({ kind, namespace, name }: ApplyResult['results'][number]): string {
  return `${kindWord(kind)}/${namespace === undefined || namespace === 'default' ? name : `${namespace}.${name}`}`;
}

/** What the Grant was bound to is gone, and something else has its name. */
function rebindText({ rebind }: ApplyResult['results'][number], asked: boolean): string {
  if (!rebind) return '';
  const change = `rebind ${rebind.from}→${rebind.to}`;
  return rebind.done || asked ? ` (${change})` : ` (gives nothing: --rebind would ${change})`;
}

/** @throws {ApiError} of the shape in which the server says the same */
function refuseMistakes(sources: readonly Source[]): void {
  const errors = sources.flatMap(({ parsed }) => parsed.errors);
  if (errors.length === 0 && sources.length > 0) return;
  if (sources.length === 0) throw new CliError('usage', 'there is nothing to read');
  const message = `${errors.length} ${errors.length === 1 ? 'mistake' : 'mistakes'}; nothing was changed`;
  throw new ApiError('invalid_documents', message, { errors });
}

/** The server counted the documents of all files; a person wants the file and the line. */
function relocated(error: unknown, placed: readonly ParsedDocument[]): unknown {
  if (!(error instanceof ApiError)) return error;
  const errors = error.errors.map((mistake) => {
    const at = placed[mistake.document - 1];
    return at ? { ...mistake, file: at.file, document: at.document, line: at.lineOf(mistake.path) } : mistake;
  });
  return new ApiError(error.code, error.message, { status: error.status, detail: error.detail, errors });
}
