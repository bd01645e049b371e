/**
 * Runs one of the example servers as a program of its own:
 *   node main.ts orders --issuer http://localhost:8484 --port 9201
 * It prints one JSON line when it listens, and one for each verified call: the claims that it saw, never the token.
 */
import { parseArgs } from 'node:util';
import { startHr } from './hr.ts';
import { startOrders } from './orders.ts';

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { issuer: { type: 'string' }, port: { type: 'string', default: '0' } },
});
const start = positionals[0] === 'orders' ? startOrders : positionals[0] === 'hr' ? startHr : undefined;
if (!start || values.issuer === undefined) {
  process.stderr.write('usage: main.ts orders|hr --issuer URL [--port N]\n');
  process.exit(2);
}
const print = (line: unknown) => process.stdout.write(`${JSON.stringify(line)}\n`);
try {
  const running = await start({ issuer: values.issuer, port: Number(values.port), onSeen: (seen) => print({ seen }) });
  print({ listening: running.url });
  // The parent holds our standard input: when it is gone, so are we.
  process.stdin.resume().once('close', () => process.exit(0));
  process.once('SIGTERM', () => process.exit(0));
  process.once('SIGINT', () => process.exit(0));
} catch (error) {
  const busy = (error as { code?: string }).code === 'EADDRINUSE';
  process.stderr.write(`${positionals[0]}: ${busy ? `port ${values.port} is in use` : 'could not start'}\n`);
  process.exit(1);
}
