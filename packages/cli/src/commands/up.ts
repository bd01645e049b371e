import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { InvalidArgumentError } from 'commander';
import { CliError } from '../error.ts';
import { firstSteps } from '../first-steps.ts';
import { examples, type Register } from '../task.ts';

interface Options {
  port?: number;
  host?: string;
  publicUrl?: string;
  config?: string;
}

export const registerUp: Register = (program, act) => {
  program
    .command('up')
    .summary('start a server')
    .description('Starts a server in this process, and keeps it running until Ctrl-C.')
    .option('--port <number>', 'TCP port (default: 8484)', portNumber)
    .option('--host <address>', 'address to listen on (default: 127.0.0.1)')
    .option('--public-url <url>', 'how others reach it; fixed at the first start')
    .option('--config <file>', 'configuration (default: ONBEHALF_CONFIG, else onbehalf.yaml where it is there)')
    .addHelpText('after', examples('up', 'up --port 9000 --data-dir ./data', 'up --config /etc/onbehalf/onbehalf.yaml'))
    .action(
      act<Options, []>(async ({ io, globals, out }, { config, ...flags }) => {
        const said = config ?? io.env.ONBEHALF_CONFIG;
        const configFile = said ?? (existsSync(resolve(io.cwd, 'onbehalf.yaml')) ? 'onbehalf.yaml' : undefined);
        const { up, explainStart } = await import('@onbehalf/platform/up');
        const running = await up({
          flags: { ...flags, ...(globals.dataDir !== undefined && { dataDir: resolve(io.cwd, globals.dataDir) }) },
          ...(configFile !== undefined && { configFile: resolve(io.cwd, configFile) }),
          env: io.env,
          print: out.hint,
          signal: io.signal,
        }).catch((error: unknown) => {
          const message = explainStart(error);
          throw message === undefined ? error : new CliError('failure', message);
        });
        out.one(
          { url: running.url, dataDir: running.dataDir, adminSocket: running.adminSocket },
          running.url,
          () => running.url,
        );
        out.hint(`Listening on ${running.url}; data in ${running.dataDir}. Ctrl-C ends it.`);
        const steps = await firstSteps(running, io.stderr.isTTY === true && globals.quiet !== true);
        for (const step of steps) out.hint(step);
        if (!io.signal.aborted)
          await new Promise<void>((done) => io.signal.addEventListener('abort', () => done(), { once: true }));
        await running.close();
      }),
    );
};

function portNumber(text: string): number {
  const port = Number(text);
  if (!/^\d{1,5}$/.test(text) || port > 65_535) throw new InvalidArgumentError('must be a port number');
  return port;
}
