import { spawn } from 'node:child_process';
import { join } from 'node:path';

const MAIN = join(import.meta.dirname, '..', '..', 'packages', 'cli', 'src', 'main.ts');

/** The command line as a process of its own. */
export function startCli(words: readonly string[], env: Record<string, string>) {
  const child = spawn(process.execPath, ['--conditions=onbehalf-source', MAIN, ...words], {
    env: { PATH: process.env.PATH, HOME: process.env.HOME, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  const ended = new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve) =>
    child.once('close', (code) => resolve({ code, stdout, stderr })),
  );
  return {
    ended,
    /** Waits until it has said this, and returns what the first group matched. */
    printed: (pattern: RegExp) =>
      new Promise<string>((resolve, reject) => {
        const look = () => {
          const found = pattern.exec(`${stdout}\n${stderr}`)?.[1];
          if (found !== undefined) resolve(found);
        };
        look();
        child.stdout.on('data', look);
        child.stderr.on('data', look);
        ended.then(() => reject(new Error(`it ended without saying ${pattern}: ${stderr}`)), reject);
      }),
  };
}
