/** A server in a process of its own, to be killed: `child.ts DATA_DIR PORT`. */
import { startWorld } from './world.ts';

const [dataDir = '', port = '0'] = process.argv.slice(2);
const level = process.env.CHILD_LOG_LEVEL;
const world = await startWorld({
  dataDir,
  port: Number(port),
  ...(level !== undefined && { env: { ONBEHALF_LOG_LEVEL: level } }),
});
process.stdout.write(`${JSON.stringify({ url: world.url, adminSocket: world.server.adminSocket })}\n`);
process.once('SIGTERM', () => void world[Symbol.asyncDispose]().then(() => process.exit(0)));
