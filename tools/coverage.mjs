/**
 * A reporter of `node --test --experimental-test-coverage`: what `spec` prints, and instead of its table of files one line
 * per room, with its lines that ran. It makes the run fail where a room has less than `LEAST`, and does not believe that a
 * file that nobody imported has none.
 */
import { readdirSync, readFileSync } from 'node:fs';
import module from 'node:module';
import { dirname, join } from 'node:path';
import { PassThrough } from 'node:stream';
import { spec } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

/** Percent of the lines of each room. */
const LEAST = 90;

/** What is counted, by the name that DESIGN and the walls give it. */
export const ROOMS = {
  access: 'packages/access/src',
  'token-exchange': 'packages/token-exchange/src',
  ...Object.fromEntries(
    ['vault', 'audit', 'policy', 'control', 'runtime'].map((room) => [room, `packages/platform/src/${room}`]),
  ),
};

export default async function* report(events) {
  const printed = new PassThrough({ objectMode: true });
  const lines = printed.pipe(new spec());
  let summary;
  (async () => {
    for await (const event of events)
      if (event.type === 'test:coverage') summary = event.data.summary;
      else if (!printed.write(event)) await new Promise((resolve) => printed.once('drain', resolve));
    printed.end();
  })().catch((error) => printed.destroy(error));
  yield* lines;
  if (summary === undefined) {
    process.exitCode = 1;
    yield 'the coverage of lines could not be measured\n';
    return;
  }
  const known = new Map(summary.files.map((file) => [file.path, file]));
  for (const [room, folder] of Object.entries(ROOMS)) {
    const counts = sources(join(root, folder)).map((path) => known.get(path) ?? unseen(path));
    const total = counts.reduce((sum, { totalLineCount }) => sum + totalLineCount, 0);
    const covered = counts.reduce((sum, { coveredLineCount }) => sum + coveredLineCount, 0);
    const percent = (100 * covered) / total;
    const low = !(percent >= LEAST);
    if (low) process.exitCode = 1;
    yield `ℹ lines of ${room.padEnd(14)} ${percent.toFixed(1).padStart(5)} %${low ? `  less than ${LEAST} %` : ''}\n`;
    if (low) for (const { path, ...count } of counts) yield* short(path.slice(root.length + 1), count);
  }
}

/** Which files a room that fails has to look at. */
function* short(name, { totalLineCount, coveredLineCount }) {
  if (100 * coveredLineCount < LEAST * totalLineCount) yield `    ${name}: ${coveredLineCount} of ${totalLineCount}\n`;
}

const sources = (folder) =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => join(entry.parentPath, entry.name));

/** A file of types is nothing that could run. */
function unseen(path) {
  const source = readFileSync(path, 'utf8');
  const runs =
    module
      .stripTypeScriptTypes(source)
      .replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, '')
      .trim() !== '';
  return { path, totalLineCount: runs ? source.trimEnd().split('\n').length : 0, coveredLineCount: 0 };
}
