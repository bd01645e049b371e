import type { Verb } from '@onbehalf/client';
import { API_VERSION, type GrantSpec, milliseconds, roles, verbs } from '@onbehalf/resources';
import { columnsOf, granteeText } from '../columns.ts';
import { complaintText } from '../complaints.ts';
import { CliError } from '../error.ts';
import { kindWord, nameOf, requireAddress, requireTarget } from '../resource-names.ts';
import { settled } from '../settled.ts';
import { examples, type Register, type Task } from '../task.ts';
import { confirm } from '../terminal.ts';

/** How long a Grant is given to say whether it gives anything. */
const SETTLE_MS = 3_000;

interface AddOptions {
  issuer?: string;
  name?: string;
  for?: string;
  reason?: string;
  allow?: string[];
  deny?: string[];
}

export const registerGrant: Register = (program, act) => {
  const grant = program
    .command('grant')
    .summary('who may do what: add, remove, list')
    .description('Grants: who may use what, and how.');
  grant
    .command('add <who> <verbs> <target>')
    .summary('let somebody do something')
    .description(
      `WHO: a subject, group:NAME, role:ROLE or everyone. VERBS, with commas: ${verbs.join(', ')}. TARGET: KIND/NAME or namespace/NAME.`,
    )
    .option('--issuer <url>', 'issuer of the subject or the group (default: the server’s own)')
    .option('--name <name>', 'name of the grant (default: made of the rest)')
    .option('--for <duration>', 'ends by itself, such as 2h or 30d')
    .option('--reason <text>', 'why')
    .option('--allow <server/tool...>', 'only these tools')
    .option('--deny <server/tool...>', 'not these tools')
    .addHelpText(
      'after',
      examples(
        'grant add alice run agent/assistant',
        'grant add group:support run,read agent/assistant --for 30d',
        'grant add everyone run agent/assistant --deny orders/refund_order',
      ),
    )
    .action(act<AddOptions, [string, string, string]>(add));
  grant
    .command('rm <name>')
    .summary('take a grant back, at once')
    .addHelpText('after', examples('grant rm alice-run-agent-assistant', 'grant rm alice-run-agent-assistant --yes'))
    .action(
      act<object, [string]>(async ({ io, globals, out, server }, _options, name) => {
        const address = requireAddress(name, globals);
        await confirm(io, `Take the grant ${name} back?`, globals);
        await server().client.remove('grants', address);
        out.one({ deleted: `grant/${name}` }, `grant/${name}`, () => `grant/${name} deleted`);
      }),
    );
  grant
    .command('ls')
    .summary('all grants that you may see')
    .option('--to <who>', 'of this subject, group:NAME, role:ROLE or everyone')
    .addHelpText('after', examples('grant ls', 'grant ls --to alice -o yaml'))
    .action(
      act<{ to?: string }, []>(async ({ io, globals, out, server }, { to }) => {
        const { items } = await server().client.list('grants', { namespace: globals.namespace });
        const shown = items.filter(({ spec }) => to === undefined || granteeText(spec.to) === to);
        out.list(
          shown,
          columnsOf('Grant', io.now()),
          nameOf,
          'There is none. Next: onbehalf grant add WHO VERBS KIND/NAME',
        );
      }),
    );
};

async function add(task: Task, options: AddOptions, who: string, verbList: string, on: string): Promise<void> {
  const { io, globals, out } = task;
  const asked = verbList.split(',');
  const stray = asked.find((verb) => !verbs.some((known) => known === verb));
  if (stray !== undefined) throw new CliError('usage', `there is no verb ${stray}: known are ${verbs.join(', ')}`);
  const place = targetOf(on, task);
  const { client } = task.server();
  const to = granteeOf(who, options.issuer);
  const spec: GrantSpec = {
    to,
    on: place.on,
    verbs: asked as Verb[],
    ...((options.allow ?? options.deny) && {
      tools: { ...(options.allow && { allow: options.allow }), ...(options.deny && { deny: options.deny }) },
    }),
    ...(options.for !== undefined && { expiresAt: new Date(io.now() + lifetime(options.for)).toISOString() }),
    ...(options.reason !== undefined && { reason: options.reason }),
  };
  const name = options.name ?? slug(`${who}-${verbList}-${on}`);
  const namespace = globals.namespace ?? place.namespace;
  const made = await client.create('grants', {
    apiVersion: API_VERSION,
    kind: 'Grant',
    metadata: { name, ...(namespace !== undefined && { namespace }) },
    spec,
  });
  out.one(made, nameOf(made), () => `${nameOf(made)} created`);
  const { uid, resourceVersion } = made.metadata;
  const written = { kind: 'Grant', name, uid, resourceVersion, action: 'created' } as const;
  for (const complaint of await settled(client, [written], SETTLE_MS, io.signal)) out.hint(complaintText(complaint));
}

function targetOf(on: string, { globals }: Task): { on: GrantSpec['on']; namespace: string | undefined } {
  const [, namespace] = /^namespace\/(.+)$/.exec(on) ?? [];
  if (namespace !== undefined) return { on: { namespace }, namespace };
  const { kind, address } = requireTarget(on, undefined, globals);
  if (kind === 'Grant') throw new CliError('usage', `a grant on a ${kindWord(kind)} has no meaning`);
  const { name } = address;
  return {
    on: { kind, name, ...(address.namespace !== undefined && { namespace: address.namespace }) },
    namespace: address.namespace,
  };
}

/** The server's own people, where no issuer is said. */
function granteeOf(who: string, said: string | undefined): GrantSpec['to'] {
  const [, kind, name = ''] = /^(group|role):(.+)$/.exec(who) ?? [];
  const of = said === undefined ? {} : { issuer: said };
  if (kind === 'group') return { group: { ...of, name } };
  if (kind === undefined) return who === 'everyone' ? { everyone: of } : { principal: { ...of, subject: who } };
  const role = roles.find((known) => known === name.toUpperCase());
  if (!role) throw new CliError('usage', `there is no role ${name}: known are ${roles.join(', ')}`);
  return { role };
}

function lifetime(text: string): number {
  try {
    return milliseconds(text);
  } catch {
    throw new CliError('usage', `${text} is no duration: write 2h or 30d`);
  }
}

const slug = (text: string) =>
  text
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, 63)
    .replace(/^-+|-+$/g, '');
