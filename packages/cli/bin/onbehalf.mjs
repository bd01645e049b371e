#!/usr/bin/env node
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

// In a checkout the packages run from their sources, which needs a condition that only a new process can have.
const source = fileURLToPath(new URL('../src/main.ts', import.meta.url));
if (Number(process.versions.node.split('.')[0]) < 24) {
  process.stderr.write(`error: onbehalf needs Node 24 or later, and this is ${process.versions.node}\n`);
  process.exitCode = 1;
} else if (existsSync(source)) {
  const args = [
    '--conditions=onbehalf-source',
    '--disable-warning=ExperimentalWarning',
    source,
    ...process.argv.slice(2),
  ];
  const child = spawn(process.execPath, args, { stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('exit', (code, signal) => process.exit(code ?? (signal === 'SIGINT' ? 130 : 1)));
} else await import('../dist/main.js');
