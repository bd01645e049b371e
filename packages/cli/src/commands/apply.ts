import { ApiError } from '@onbehalf/client';
import type { ApplyResult } from '@onbehalf/resources';
import { readSources, type Source } from '../documents.ts';
import { CliError } from '../error.ts';
import { kindWord } from '../resource-names.ts';
import { examples, type Register, type Task } from '../task.ts';
import { confirm, oneLine } from '../terminal.ts';

interface Options {
  filename: string[];
  dryRun?: boolean;
  prune?: boolean;
}

const FILES = '-f, --filename <path...>';

export const registerApply: Register = (program, act) => {
  program
    .command('apply')
    .summary('make the server have what files say')
    .description('Creates or changes every resource of the files, all or nothing.')
    .requiredOption(FILES, 'files, folders, or - for standard input')
    .option('--dry-run', 'say what would happen, and change nothing')
    .option('--prune', 'delete what an earlier apply of the same file made and that is not in it any more')
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
    .addHelpText('after', examples('validate -f agent.yaml', 'validate -f ./resources -o json'))
    .action(
      act<Options, []>(async ({ io, out }, { filename }) => {
        const sources = await readSources(io, filename);
        refuseMistakes(sources);
        const documents = sources.flatMap(({ parsed }) => parsed.documents);
        out.one({ valid: true, documents: documents.length }, 'valid', () => `${documents.length} documents are valid`);
      }),
    );
};

async function apply(task: Task, { filename, dryRun = false, prune = false }: Options): Promise<void> {
  const { io, globals, out } = task;
  const sources = await readSources(io, filename);
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
    client.apply({ ...request, dryRun: trial, prune }).catch((error: unknown) => {
      throw sources.length === 1 ? error : relocated(error, placed);
    });
  if (prune && !dryRun) {
    const doomed = (await send(true)).results.filter(({ action }) => action === 'deleted').map(nameOf);
    if (doomed.length > 0) await confirm(io, `Delete ${doomed.join(', ')}?`, globals);
  }
  const result = await send(dryRun);
  if (out.format === 'table' || out.format === 'wide')
    for (const line of result.results) out.line(`${nameOf(line)} ${line.action}${dryRun ? ' (dry run)' : ''}`);
  else out.list(result.results, [], nameOf, '');
  for (const line of result.results)
    for (const problem of line.unresolved ?? []) out.hint(oneLine(`${nameOf(line)} waits: ${problem}`));
}

function nameOf({ kind, namespace, name }: ApplyResult['results'][number]): string {
  return `${kindWord(kind)}/${namespace === undefined || namespace === 'default' ? name : `${namespace}.${name}`}`;
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
function relocated(error: unknown, placed: readonly { file: string; line: number }[]): unknown {
  if (!(error instanceof ApiError)) return error;
  const errors = error.errors.map((mistake) => {
    const at = placed[mistake.document - 1];
    return at ? { ...mistake, file: at.file, line: at.line } : mistake;
  });
  return new ApiError(error.code, error.message, { status: error.status, detail: error.detail, errors });
}
