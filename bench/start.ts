import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { freePort } from '../examples/demo/free-port.ts';
import { type Line, median } from './measure.ts';

const PROGRAM = `
import { up } from '@onbehalf/platform/up';
const server = await up({ flags: { port: Number(process.argv[1]), dataDir: process.argv[2] }, env: { ONBEHALF_LOG_LEVEL: 'silent' }, print: () => undefined });
console.log('ready');
`;

/** From the start of the process until it listens, and what it holds then. The second start: data and keys are there. */
export async function benchStart(): Promise<Line[]> {
  const folder = await mkdtemp(join(tmpdir(), 'onbehalf-start-'));
  const port = await freePort();
  const ready: number[] = [];
  const memory: number[] = [];
  for (let run = 0; run < 4; run++) {
    const started = performance.now();
    const child = spawn(
      process.execPath,
      ['--conditions=onbehalf-source', '--input-type=module', '-e', PROGRAM, String(port), folder],
      {
        cwd: join(import.meta.dirname, '..'),
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
    if (!child.stdout) throw new Error('no output');
    await once(createInterface(child.stdout), 'line');
    if (run > 0) ready.push(performance.now() - started);
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    if (run > 0) memory.push(rssMiB(child.pid ?? 0));
    child.kill('SIGKILL');
    await once(child, 'exit');
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
