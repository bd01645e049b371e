import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { signedIn, startServer } from './harness.ts';

const bin = fileURLToPath(new URL('../bin/onbehalf.mjs', import.meta.url));

function start(words: readonly string[], env: Record<string, string> = {}) {
  const child = spawn(process.execPath, [bin, ...words], {
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => (stdout += chunk));
  child.stderr.on('data', (chunk) => (stderr += chunk));
  const ended = once(child, 'close').then(([code]) => ({ code: code as number, stdout, stderr }));
  return { child: child as ChildProcess, ended, stderr: () => stderr };
}

test('the program itself: exit codes, streams, no colour in a pipe', async () => {
  const [version, wrong] = await Promise.all([start(['version', '-o', 'json']).ended, start(['get', 'agnets']).ended]);
  assert.equal(version.code, 0);
  assert.match(JSON.parse(version.stdout).version, /^\d+\.\d+\.\d+/);
  assert.deepEqual([wrong.code, wrong.stdout], [2, '']);
  assert.match(wrong.stderr, /^error: there is no kind agnets/);
});

test('SIGINT ends what is under way with 130', async () => {
  let asked: (() => void) | undefined;
  const waiting = new Promise<void>((resolve) => {
    asked = resolve;
  });
  // A server that never answers.
  await using server = await startServer(() => {
    asked?.();
    return 'handled';
  });
  const { child, ended } = start(['invoke', 'assistant', '-m', 'hello'], signedIn(server.url));
  await waiting;
  child.kill('SIGINT');
  assert.equal((await ended).code, 130);
});
