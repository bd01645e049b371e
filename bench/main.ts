/** Measures, prints a table, and never fails: `npm run bench`, or with `--json`. */
import { benchApply } from './apply.ts';
import { benchDecision } from './decision.ts';
import { benchEmbeddedIssuer } from './embedded-issuer.ts';
import { benchExchange } from './exchange.ts';
import { benchExchangeMemory } from './exchange-memory.ts';
import type { Line } from './measure.ts';
import { benchModelLoop } from './model-loop.ts';
import { benchStart } from './start.ts';
import { benchStore } from './store.ts';

const lines: Line[] = [];
for (const bench of [
  benchExchange,
  benchEmbeddedIssuer,
  benchExchangeMemory,
  benchDecision,
  benchModelLoop,
  benchStore,
  benchApply,
  benchStart,
])
  lines.push(...(await bench()));
if (process.argv.includes('--json')) process.stdout.write(`${JSON.stringify(lines)}\n`);
else {
  const rows = [
    ['measure', 'ours', 'reference', 'ratio', 'target'],
    ...lines.map((line) => [line.measure, line.ours, line.reference, line.ratio?.toFixed(2) ?? '–', line.target]),
  ];
  const widths = [0, 1, 2, 3, 4].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  for (const row of rows)
    process.stdout.write(`${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')}\n`);
}
