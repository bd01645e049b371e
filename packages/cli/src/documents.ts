import { readdir, readFile, stat } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { type ParsedDocuments, parseDocuments } from '@onbehalf/resources';
import { CliError } from './error.ts';
import type { Io } from './io.ts';
import { readInput } from './terminal.ts';

export interface Source {
  /** As errors name it. */
  file: string;
  text: string;
  parsed: ParsedDocuments;
}

/** Files, folders (every .yaml, .yml and .json in them) and `-` for standard input, each parsed on its own. */
export async function readSources(io: Io, paths: readonly string[]): Promise<Source[]> {
  const sources: Source[] = [];
  const add = (file: string, text: string) => sources.push({ file, text, parsed: parseDocuments(text, file) });
  for (const path of paths) {
    if (path === '-') {
      add('stdin', await readInput(io));
      continue;
    }
    const files = await filesOf(resolve(io.cwd, path), path);
    for (const file of files) add(relative(io.cwd, file) || file, await readFile(file, 'utf8'));
  }
  return sources;
}

async function filesOf(path: string, said: string): Promise<string[]> {
  const found = await stat(path).catch(() => undefined);
  if (!found) throw new CliError('usage', `${said}: there is no such file or folder`);
  if (!found.isDirectory()) return [path];
  const names = (await readdir(path, { recursive: true })).filter((name) => /\.(ya?ml|json)$/.test(name)).sort();
  if (names.length === 0) throw new CliError('usage', `${said}: holds no .yaml, .yml or .json`);
  return names.map((name) => join(path, name));
}
