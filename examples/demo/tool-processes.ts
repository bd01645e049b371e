import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Seen } from '../tool-servers/tool-server.ts';
import { freePort } from './free-port.ts';

export interface ToolProcess {
  name: 'orders' | 'hr';
  url: string;
  /** What this server saw in the tokens that it verified, in order. */
  seen: Seen[];
  stop(): Promise<void>;
}

class PortTaken extends Error {}

/** Starts an example tool server as a program of its own: on this port, or on another where somebody has it. */
export async function startToolProcess(name: ToolProcess['name'], issuer: string, port: number): Promise<ToolProcess> {
  try {
    return await start(name, issuer, port);
  } catch (error) {
    if (!(error instanceof PortTaken)) throw error;
    return start(name, issuer, await freePort());
  }
}

async function start(name: ToolProcess['name'], issuer: string, port: number): Promise<ToolProcess> {
  const program = join(import.meta.dirname, '..', 'tool-servers', 'main.ts');
  const child: ChildProcess = spawn(process.execPath, [program, name, '--issuer', issuer, '--port', String(port)], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { PATH: process.env.PATH },
  });
  const seen: Seen[] = [];
  let complaint = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    complaint += chunk.toString();
  });
  const url = await new Promise<string>((resolve, reject) => {
    child.once('close', () =>
      reject(
        complaint.includes('is in use')
          ? new PortTaken(complaint.trim())
          : new Error(complaint.trim() || `${name} did not start`),
      ),
    );
    if (!child.stdout) throw new Error('the child has no output');
    createInterface(child.stdout).on('line', (line) => {
      const message = JSON.parse(line) as { listening?: string; seen?: Seen };
      if (message.listening !== undefined) resolve(message.listening);
      if (message.seen) seen.push(message.seen);
    });
  });
  return {
    name,
    url,
    seen,
    async stop() {
      if (child.exitCode !== null) return;
      child.kill();
      await once(child, 'exit');
    },
  };
}
