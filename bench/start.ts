import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../examples/demo/free-port.ts';
import { type Line, median } from './measure.ts';
import { startServer } from './server.ts';

/** From the start of the process until it listens, and what it holds then. The second start: data and keys are there. */
export async function benchStart(): Promise<Line[]> {
  const folder = await mkdtemp(join(tmpdir(), 'onbehalf-start-'));
  const port = await freePort();
  const ready: number[] = [];
  const memory: number[] = [];
  for (let run = 0; run < 4; run++) {
    const server = await startServer(port, folder);
    if (run > 0) ready.push(server.readyMs);
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    if (run > 0) memory.push(rssMiB(server.pid));
    await server.stop();
  }
  await rm(folder, { recursive: true, force: true });
  return [
    {
      measure: 'start to listening, from sources, wall',
      ours: `${Math.round(median(ready))} ms`,
      reference: '–',
      ratio: undefined,
      target: 'reported',
    },
    {
      measure: 'idle memory (RSS)',
      ours: `${Math.round(median(memory))} MiB`,
      reference: '–',
      ratio: undefined,
      target: 'reported',
    },
  ];
}

function rssMiB(pid: number): number {
  try {
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1_024;
  } catch {
    return Number.NaN;
  }
}
