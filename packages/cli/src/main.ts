import { processIo } from './io.ts';
import { run } from './run.ts';

const { io, interrupted } = processIo();
const code = await run(process.argv.slice(2), io);
// What was printed into a pipe is flushed before the process ends by itself.
process.exitCode = interrupted() && code !== 0 ? 130 : code;
