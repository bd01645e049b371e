import type { Client } from '@onbehalf/client';
import type { SessionEvent, SessionView } from '@onbehalf/resources';
import { CliError } from '../error.ts';
import { age, type Column, json } from '../output.ts';
import { requireAddress } from '../resource-names.ts';
import { examples, type Register, type Task } from '../task.ts';
import { oneLine, printable } from '../terminal.ts';
import { exchangeText } from '../transcript.ts';

interface Options {
  agent?: string;
  reason?: string;
}

type Place = { agent: { name: string; namespace: string | undefined }; id: string };

export const registerSessions: Register = (program, act) => {
  const sessions = program
    .command('sessions')
    .summary('conversations: list, read, stop')
    .description('Your conversations with agents.');
  sessions
    .command('ls')
    .summary('your sessions, newest first')
    .option('--agent <name>', 'with this agent only')
    .addHelpText('after', examples('sessions ls', 'sessions ls --agent assistant -o name'))
    .action(
      act<Options, []>(async ({ io, globals, out, server }, { agent }) => {
        const items = await server().client.sessions(agent === undefined ? undefined : requireAddress(agent, globals));
        out.list(items, columns(io.now()), ({ id }) => id, 'There is none yet. Next: onbehalf chat AGENT');
      }),
    );
  sessions
    .command('show <id>')
    .summary('the events of a session')
    .option('--agent <name>', 'its agent, where the session is somebody else’s')
    .option('--reason <text>', 'why you read somebody else’s conversation; its owner is told')
    .addHelpText(
      'after',
      examples(
        'sessions show 6f1c…',
        'sessions show 6f1c… -o jsonl',
        'sessions show 6f1c… --agent assistant --reason "ticket 4711"',
      ),
    )
    .action(
      act<Options, [string]>(async (task, options, id) => {
        const { client } = task.server();
        const { agent } = await locate(task, client, id, options);
        const events = await allEvents(client, { agent, id }, options.reason);
        const { out } = task;
        if (out.format === 'table' || out.format === 'wide') for (const event of events) showLine(task, event);
        else out.list(events, [], ({ seq }) => String(seq), '');
      }),
    );
  sessions
    .command('stop <id>')
    .summary('stop the turn that runs in a session')
    .option('--agent <name>', 'its agent, where the session is somebody else’s')
    .addHelpText('after', examples('sessions stop 6f1c…', 'sessions stop 6f1c… --agent assistant'))
    .action(
      act<Options, [string]>(async (task, options, id) => {
        const { client } = task.server();
        const { agent } = await locate(task, client, id, options);
        const result = await client.stopSession(agent, id);
        task.out.one(result, result.turn ?? id, () =>
          result.stopped ? `stopped turn ${result.turn ?? ''}`.trim() : 'nothing was running',
        );
      }),
    );
};

const columns = (now: number): Column<SessionView>[] => [
  { title: 'ID', value: ({ id }) => id },
  { title: 'AGENT', value: ({ agent }) => `${agent.namespace}/${agent.name}` },
  { title: 'TITLE', value: ({ title }) => title.slice(0, 60) },
  { title: 'TURN', value: ({ turn }) => turn?.state },
  { title: 'AGE', value: ({ updatedAt }) => age(updatedAt, now) },
  { title: 'DOOR', value: ({ door }) => door, wide: true },
  { title: 'EVENTS', value: ({ lastSeq }) => lastSeq, wide: true },
  { title: 'OWNER', value: ({ owner }) => owner.subject, wide: true },
];

async function locate(task: Task, client: Client, id: string, { agent }: Options): Promise<Place> {
  if (agent !== undefined) return { agent: requireAddress(agent, task.globals), id };
  const found = (await client.sessions()).find((session) => session.id === id);
  if (!found) throw new CliError('not_found', `you have no session ${id}`, 'onbehalf sessions ls, or --agent NAME');
  return { agent: found.agent, id };
}

async function allEvents(client: Client, { agent, id }: Place, reason: string | undefined): Promise<SessionEvent[]> {
  const events: SessionEvent[] = [];
  for (;;) {
    const after = events.at(-1)?.seq ?? 0;
    const page = await client.events(agent, id, { after, limit: 500, ...(reason !== undefined && { reason }) });
    events.push(...page.events);
    if (page.events.length === 0 || (events.at(-1)?.seq ?? 0) >= page.lastSeq) return events;
  }
}

function showLine({ out }: Task, event: SessionEvent): void {
  // The final message holds the same words.
  if (event.type === 'delta') return;
  const text =
    event.type === 'message'
      ? `${event.data.role}: ${printable(event.data.text)}`
      : event.type === 'exchange'
        ? oneLine(exchangeText(event.data))
        : oneLine(json(event.data));
  out.line(`${String(event.seq).padStart(5)}  ${event.at}  ${event.type.padEnd(18)} ${text}`);
}
