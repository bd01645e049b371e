import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const PROGRAM = `
import { up } from '@onbehalf/platform/up';
const { ONBEHALF_CONFIG: configFile, ...env } = process.env;
const server = await up({ flags: { port: Number(process.argv[1]), dataDir: process.argv[2] }, env: { ...env, ONBEHALF_LOG_LEVEL: 'silent' }, configFile, print: () => undefined });
console.log('ready');
`;

/** A server in a process of its own, from the sources. `readyMs`: from its start until it listens. */
export async function startServer(port: number, dataDir: string, env: Record<string, string> = {}) {
  const started = performance.now();
  const child: ChildProcess = spawn(
    process.execPath,
    ['--conditions=onbehalf-source', '--input-type=module', '-e', PROGRAM, String(port), dataDir],
    {
      cwd: join(import.meta.dirname, '..'),
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { PATH: process.env.PATH, ...env },
    },
  );
  if (!child.stdout) throw new Error('no output');
  await once(createInterface(child.stdout), 'line');
  return {
    readyMs: performance.now() - started,
    pid: child.pid ?? 0,
    async stop() {
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}
