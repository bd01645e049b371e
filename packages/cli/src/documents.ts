import { readdir, readFile, stat } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { type ParsedDocuments, parseDocuments } from '@onbehalf/resources';
import { CliError } from './error.ts';
import type { Io } from './io.ts';
import { readInput } from './terminal.ts';
import { lineThatIsNoUtf8 } from './utf8.ts';

export interface Source {
  /** As errors name it. */
  file: string;
  text: string;
  parsed: ParsedDocuments;
}

/** Files, folders (see `filesOf`) and `-` for standard input, each parsed on its own. */
export async function readSources(io: Io, paths: readonly string[], recursive: boolean): Promise<Source[]> {
  const sources: Source[] = [];
  for (const path of paths) {
    if (path === '-') {
      const text = await readInput(io);
      sources.push({ file: 'stdin', text, parsed: parseDocuments(text, 'stdin') });
      continue;
    }
    for (const file of await filesOf(resolve(io.cwd, path), path, recursive))
      sources.push(sourceOf(relative(io.cwd, file) || file, await readFile(file)));
  }
  return sources;
}

function sourceOf(file: string, bytes: Buffer): Source {
  const line = lineThatIsNoUtf8(bytes);
  const text = bytes.toString('utf8');
  if (line === undefined) return { file, text, parsed: parseDocuments(text, file) };
  const error = { file, document: 1, line, path: '', message: 'holds bytes that are not UTF-8: save it as UTF-8' };
  return { file, text, parsed: { documents: [], errors: [error] } };
}

const isDocument = (name: string) => /\.(ya?ml|json)$/.test(name) && !name.startsWith('.');
const isPassedOver = (name: string) => name.startsWith('.') || name === 'node_modules';

/** Of a folder every .yaml, .yml and .json in it; below it as well with -R, but in no hidden folder and no node_modules. */
async function filesOf(path: string, said: string, recursive: boolean): Promise<string[]> {
  const found = await stat(path).catch(() => undefined);
  if (!found) throw new CliError('usage', `${said}: there is no such file or folder`);
  if (!found.isDirectory()) return [path];
  const files = await below(path, recursive);
  if (files.length === 0)
    throw new CliError(
      'usage',
      `${said}: holds no .yaml, .yml or .json`,
      recursive ? undefined : `-R looks in the folders below ${said} too`,
    );
  return files;
}

async function below(folder: string, recursive: boolean): Promise<string[]> {
  const entries = (await readdir(folder, { withFileTypes: true })).sort((a, b) => (a.name < b.name ? -1 : 1));
  const files: string[] = [];
  for (const entry of entries) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      if (recursive && !isPassedOver(entry.name)) files.push(...(await below(path, recursive)));
    } else if (isDocument(entry.name)) files.push(path);
  }
  return files;
}
