import type { ExchangeEntry } from '@onbehalf/resources';
import type { Column } from '../output.ts';
import { examples, type Register } from '../task.ts';
import { limitNumber, sinceText } from '../times.ts';
import { agentsOf } from '../transcript.ts';

interface Options {
  session?: string;
  agent?: string;
  server?: string;
  user?: string;
  result?: string;
  since?: string;
  limit?: number;
}

export const registerExchanges: Register = (program, act) => {
  program
    .command('exchanges')
    .summary('whose token went where, and what for')
    .description('Token exchanges, newest first: your own, or all for AUDITOR and ADMIN. Never a token.')
    .option('--session <id>', 'of this session')
    .option('--agent <name>', 'of this agent (NAME or NAMESPACE/NAME)')
    .option('--server <name>', 'for this tool server (NAME or NAMESPACE/NAME); --server URL goes before "exchanges"')
    .option('--user <subject>', 'of this user')
    .option('--result <word>', 'exchanged, cached, joined or refused')
    .option('--since <time>', 'ISO 8601, or how long ago: 30m, 2h, 7d')
    .option('--limit <number>', 'at most so many, up to 500 (default: 100)', limitNumber)
    .addHelpText('after', examples('exchanges', 'exchanges --server orders --since 1h -o wide', 'exchanges -o jsonl'))
    .action(
      act<Options, []>(async ({ io, out, server }, { since, limit, ...filter }) => {
        const found = await server().client.exchanges({
          ...filter,
          since: sinceText(since, io.now()),
          limit,
        });
        const filtered = since !== undefined || Object.values(filter).some((value) => value !== undefined);
        if (out.format === 'json' || out.format === 'yaml') out.one(found, '', () => '');
        else out.list(found.items, columns, ({ id }) => id, filtered ? 'None matches.' : 'There was none yet.');
        out.hint(`${found.tokenServiceRequests} requests to token services since the server started`);
      }),
    );
};

const columns: Column<ExchangeEntry>[] = [
  { title: 'TIME', value: ({ at }) => at },
  { title: 'USER', value: ({ subject, principal }) => (subject ?? principal).subject },
  { title: 'AGENT', value: ({ agent }) => agent },
  { title: 'SERVER', value: ({ server }) => server },
  { title: 'AUDIENCE', value: ({ granted }) => granted?.audience.join(' ') },
  { title: 'SCOPE', value: ({ granted }) => granted?.scope },
  { title: 'RESULT', value: ({ result, code }) => (code === undefined ? result : `${result} (${code})`) },
  { title: 'MS', value: ({ ms }) => (ms === undefined ? undefined : Math.round(ms)) },
  { title: 'AGENT', value: (entry) => agentsOf(entry).join(' → '), wide: true },
  { title: 'MODE', value: ({ mode }) => mode, wide: true },
  { title: 'TOKEN SERVICE', value: ({ tokenService }) => tokenService, wide: true },
  { title: 'EXPIRES', value: ({ expiresAt }) => expiresAt, wide: true },
  { title: 'SESSION', value: ({ session }) => session, wide: true },
  { title: 'TURN', value: ({ turn }) => turn, wide: true },
];
