import { resolve } from 'node:path';
import type { AuditFilter } from '@onbehalf/client';
import type { AuditLine, AuditVerification } from '@onbehalf/resources';
import { CliError, EXIT } from '../error.ts';
import { type Column, json } from '../output.ts';
import { dataDirectory } from '../server.ts';
import { examples, type Register, type Task } from '../task.ts';
import { limitNumber, sinceText } from '../times.ts';
import { traceText } from '../trace.ts';
import { verificationText } from '../verification.ts';

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
    .option('--type <word>', 'such as tool.call, exchange, login, change, refusal')
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
        const lines = await server().client.auditTrace(turn);
        if (out.format === 'table' || out.format === 'wide') for (const line of traceText(lines)) out.line(line);
        else out.list(lines, columns, nameOf, 'There is no such turn.');
      }),
    );
  audit
    .command('verify')
    .summary('recompute the chain. Exit code 1: it was tampered with')
    .option('--offline', 'the data directory of a server that does not run; it is only read')
    .option('--witness <file>', 'with --offline: the witness, or none (default: as the server has it)')
    .addHelpText('after', examples('audit verify --local', 'audit verify --offline --data-dir ./data'))
    .action(act<VerifyOptions, []>(verify));
  audit
    .command('witness')
    .summary('the file outside the database that knows of every checkpoint')
    .command('accept')
    .summary('after a restore: what the witness has beyond the store counts no more')
    .description(
      'After a backup was restored the witness knows of entries that the store does not have. This says so, signed and for good, and the witness follows the store again.',
    )
    .requiredOption('--reason <text>', 'why; it stays in the witness and in the audit')
    .addHelpText(
      'after',
      examples(
        'audit witness accept --reason "restored the backup of Friday after a disk failure"',
        'audit witness accept --data-dir ./data --reason "moved to another disk"',
      ),
    )
    .action(
      act<{ reason: string }, []>(async ({ out, server }, { reason }) => {
        const accepted = await server(true).client.acceptWitness(reason);
        out.one(
          accepted,
          'accepted',
          () => `Accepted: from checkpoint ${accepted.from} on the witness follows this store.`,
        );
      }),
    );
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

interface VerifyOptions {
  offline?: boolean;
  witness?: string;
}

async function verify(task: Task, { offline, witness }: VerifyOptions): Promise<void> {
  const { io, out, globals, exit } = task;
  if (witness !== undefined && !offline)
    throw new CliError('usage', '--witness is for --offline: a running server has its own', 'audit verify --offline');
  const result: AuditVerification = offline
    ? await verifyDirectory({
        dataDir: dataDirectory(io, globals),
        env: io.env,
        witness: witness && place(io, witness),
      })
    : await task.server(true).client.verifyAudit();
  out.one(result, result.ok ? 'ok' : 'tampered', () => verificationText(result));
  if (!result.ok) exit(EXIT.failure);
}

const place = (io: Task['io'], witness: string) => (witness === 'none' ? witness : resolve(io.cwd, witness));

async function verifyDirectory(options: {
  dataDir: string;
  env: Task['io']['env'];
  witness: string | undefined;
}): Promise<AuditVerification> {
  const { verifyOffline, explainStart } = await import('@onbehalf/platform/offline');
  return verifyOffline(options).catch((error: unknown) => {
    const message = explainStart(error);
    throw message === undefined ? error : new CliError('failure', message);
  });
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
