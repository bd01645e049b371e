import type { Command } from 'commander';
import { type Globals, globalsOf, ownOptions } from './globals.ts';
import type { Io } from './io.ts';
import { createOutput, type Output } from './output.ts';
import { chooseServer, connect, type Server } from './server.ts';

/** What a command has to do its work. */
export interface Task {
  io: Io;
  globals: Globals;
  out: Output;
  command: Command;
  /** Origin of the server that is meant; it is told which, where the caller has not said it. */
  address(): string;
  /** `administrative`: over the local socket where there is one. */
  server(administrative?: boolean): Server;
  /** Ends with this code although nothing was wrong, such as `can-i`: no. */
  exit(code: number): void;
}

/** Makes a commander action of a function over the task, the command's own options and its arguments. */
export type Act = <O, A extends unknown[]>(
  handler: (task: Task, options: O, ...args: A) => Promise<void> | void,
) => (...all: unknown[]) => Promise<void>;

export type Register = (program: Command, act: Act) => void;

export function createAct(io: Io, exit: (code: number) => void): Act {
  return <O, A extends unknown[]>(handler: (task: Task, options: O, ...args: A) => Promise<void> | void) =>
    async (...all: unknown[]) => {
      const command = all.at(-1) as Command;
      const globals = globalsOf(command);
      const out = createOutput(io, globals.output, globals.quiet === true);
      let told = false;
      /** Which server was chosen, once a command. */
      const tell = (text: string | undefined) => {
        if (!told && text !== undefined) out.hint(text);
        told = true;
      };
      const task: Task = {
        io,
        globals,
        out,
        command,
        exit,
        address() {
          const { url, because } = chooseServer(io, globals);
          tell(because === undefined ? undefined : `Server ${url} (${because}).`);
          return url;
        },
        server: (administrative = false) => connect(io, globals, administrative, { address: task.address, tell }),
      };
      await handler(task, ownOptions(command) as O, ...(all.slice(0, -2) as A));
    };
}

/** Two or three lines at the end of a command's help. */
export function examples(...lines: string[]): string {
  return `\nExamples:\n${lines.map((line) => `  $ onbehalf ${line}`).join('\n')}\n\nEverywhere: -o FORMAT, -n NAMESPACE, --server URL, --local, --data-dir DIR, -q, -y, --no-input; see onbehalf --help.\n`;
}
