import type { AuditFilter, Client } from '@onbehalf/client';
import type { AuditLine } from '@onbehalf/resources';
import { EXIT } from '../error.ts';
import { type Column, json } from '../output.ts';
import { dataDirectory } from '../server.ts';
import { examples, type Register, type Task } from '../task.ts';
import { limitNumber, sinceText } from '../times.ts';

interface LsOptions {
  user?: string;
  agent?: string;
  server?: string;
  decision?: string;
  type?: string;
  session?: string;
  turn?: string;
  jti?: string;
  record?: string;
  requestId?: string;
  since?: string;
  until?: string;
  limit?: number;
}

export const registerAudit: Register = (program, act) => {
  const audit = program
    .command('audit')
    .summary('what was decided and done, and the proof')
    .description('The audit: your own entries, or all for AUDITOR and ADMIN.');
  audit
    .command('ls')
    .summary('entries, newest first')
    .option('--user <subject>', 'of this user')
    .option('--agent <name>', 'of this agent (NAME or NAMESPACE/NAME)')
    .option('--server <name>', 'about this tool server (NAME or NAMESPACE/NAME); --server URL goes before "audit"')
    .option('--decision <word>', 'allow, deny or hide')
    .option('--type <word>', 'such as tool_call, exchange, login, change, refusal')
    .option('--session <id>', 'of this session')
    .option('--turn <id>', 'of this turn')
    .option('--jti <id>', 'about this token')
    .option('--record <value>', 'about this record, as the server’s audit names fields')
    .option('--request-id <id>', 'of this request')
    .option('--since <time>', 'ISO 8601, or how long ago: 30m, 2h, 7d')
    .option('--until <time>', 'the same')
    .option('--limit <number>', 'at most so many, up to 500 (default: 100)', limitNumber)
    .addHelpText(
      'after',
      examples(
        'audit ls --user alice --since 2h',
        'audit ls --server orders --decision deny',
        'audit ls --turn 8c2f… -o jsonl',
      ),
    )
    .action(act<LsOptions, []>(list));
  audit
    .command('trace <turn>')
    .summary('everything that belongs to one turn, in order')
    .description('Everything that belongs to one turn, in order. TURN: as `audit ls -o wide` and `invoke` show it.')
    .addHelpText('after', examples('audit trace 8c2f…', 'audit trace 8c2f… -o json'))
    .action(
      act<object, [string]>(async ({ out, server }, _options, turn) => {
        out.list(await server().client.auditTrace(turn), columns, nameOf, 'There is no such turn.');
      }),
    );
  audit
    .command('verify')
    .summary('recompute the chain. Exit code 1: it was tampered with')
    .option('--offline', 'the data directory of a server that does not run')
    .addHelpText('after', examples('audit verify --local', 'audit verify --offline --data-dir ./data'))
    .action(act<{ offline?: boolean }, []>(verify));
};

async function list({ io, out, server }: Task, options: LsOptions): Promise<void> {
  const { since, until, agent, server: toolServer, limit, ...rest } = options;
  const filter: AuditFilter = {
    ...rest,
    agent: qualified(agent),
    server: qualified(toolServer),
    since: sinceText(since, io.now()),
    until: sinceText(until, io.now()),
    limit,
  };
  const items = await server().client.audit(filter);
  out.list(items, columns, nameOf, 'No entry matches.');
}

async function verify(task: Task, { offline }: { offline?: boolean }): Promise<void> {
  const { io, out, globals, exit } = task;
  const result: Awaited<ReturnType<Client['verifyAudit']>> = offline
    ? { ...(await verifyDirectory(dataDirectory(io, globals))) }
    : await task.server(true).client.verifyAudit();
  out.one(result, result.ok ? 'ok' : 'tampered', () =>
    result.ok
      ? `The chain is whole: ${result.entries ?? 0} entries. Proof since ${String(result.tamperEvidentSince ?? 'never')}, against ${String(result.against ?? 'nobody')}.`
      : `The chain is broken: ${String(result.reason)} at ${String(result.writer)} number ${String(result.seq)}.`,
  );
  if (!result.ok) exit(EXIT.failure);
}

async function verifyDirectory(directory: string) {
  const { verifyOffline } = await import('@onbehalf/platform/offline');
  return verifyOffline(directory);
}

const nameOf = (line: AuditLine) => `${line.writer}/${line.seq}`;
const qualified = (name: string | undefined) => (name === undefined || name.includes('/') ? name : `default/${name}`);

function textAt(line: AuditLine, ...path: string[]): string | undefined {
  let at: unknown = line;
  for (const step of path)
    at = typeof at === 'object' && at !== null ? (at as Record<string, unknown>)[step] : undefined;
  return typeof at === 'string' ? at : at === undefined ? undefined : json(at);
}

const columns: Column<AuditLine>[] = [
  { title: 'TIME', value: ({ at }) => at },
  { title: 'TYPE', value: ({ type, phase }) => (phase === 'single' ? type : `${type} ${phase}`) },
  { title: 'USER', value: (line) => textAt(line, 'principal', 'subject') },
  { title: 'AGENT', value: (line) => textAt(line, 'agent', 'name') },
  { title: 'TARGET', value: targetOf },
  { title: 'DECISION', value: (line) => textAt(line, 'decision') ?? textAt(line, 'outcome') },
  { title: 'REASON', value: (line) => textAt(line, 'code') ?? textAt(line, 'reason')?.slice(0, 80) },
  { title: 'TURN', value: (line) => textAt(line, 'turn'), wide: true },
  { title: 'SESSION', value: (line) => textAt(line, 'session'), wide: true },
  { title: 'RULE', value: (line) => textAt(line, 'rule'), wide: true },
  { title: 'REQUEST', value: (line) => textAt(line, 'requestId'), wide: true },
  { title: 'ENTRY', value: nameOf, wide: true },
];

/** The tool that was called, the server that a token is for, or what was changed. */
function targetOf(line: AuditLine): string | undefined {
  const server = textAt(line, 'tool', 'server');
  if (server !== undefined) return `${server}.${textAt(line, 'tool', 'name') ?? ''}`;
  return textAt(line, 'target', 'name') ?? textAt(line, 'target', 'server') ?? textAt(line, 'target', 'resource');
}
