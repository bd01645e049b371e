import type { Client } from '@onbehalf/client';
import { kinds, type Resource } from '@onbehalf/resources';
import { columnsOf } from '../columns.ts';
import { table, yaml } from '../output.ts';
import { kindWord, nameOf, requireKind, requireTarget, type Target } from '../resource-names.ts';
import { examples, type Register } from '../task.ts';
import { confirm, oneLine, printable } from '../terminal.ts';

export const registerGet: Register = (program, act) => {
  program
    .command('get <kind> [name]')
    .summary('list resources, or show one')
    .description('KIND is agent, model-config, mcp-server, token-service, trusted-issuer, secret or grant.')
    .addHelpText('after', examples('get agents', 'get agent/assistant -o yaml', 'get mcp-servers -o wide'))
    .action(
      act<object, [string, string | undefined]>(async (task, _options, word, name) => {
        const { io, globals, out } = task;
        if (name !== undefined || word.includes('/')) {
          const target = requireTarget(word, name, globals);
          const found = await read(task.server().client, target);
          if (out.format === 'table' || out.format === 'wide')
            out.list([found], columnsOf(target.kind, io.now()), nameOf, '');
          else out.one(found, nameOf(found), () => '');
          return;
        }
        const kind = requireKind(word);
        const { items } = await task.server().client.list(kinds[kind].plural, { namespace: globals.namespace });
        const none = `There is no ${kindWord(kind)} that you may see. Next: onbehalf apply -f FILE`;
        out.list(items as Resource[], columnsOf(kind, io.now()), nameOf, none);
      }),
    );
  program
    .command('describe <kind> [name]')
    .summary('show one resource with its conditions')
    .addHelpText('after', examples('describe agent/assistant', 'describe mcp-server orders'))
    .action(
      act<object, [string, string | undefined]>(async (task, _options, word, name) => {
        const found = await read(task.server().client, requireTarget(word, name, task.globals));
        task.out.one(found, nameOf(found), () => describe(found));
      }),
    );
  program
    .command('delete <kind> [name]')
    .summary('delete a resource')
    .addHelpText('after', examples('delete agent/assistant', 'delete grant alice-run-agent-assistant --yes'))
    .action(
      act<object, [string, string | undefined]>(async (task, _options, word, name) => {
        const target = requireTarget(word, name, task.globals);
        const { client } = task.server();
        const found = await read(client, target);
        await confirm(task.io, `Delete ${nameOf(found)}?`, task.globals);
        await client.remove(kinds[target.kind].plural, target.address);
        task.out.one({ deleted: nameOf(found) }, nameOf(found), () => `${nameOf(found)} deleted`);
      }),
    );
};

async function read(client: Client, { kind, address }: Target): Promise<Resource> {
  return (await client.get(kinds[kind].plural, address)) as Resource;
}

function describe({ kind, metadata, spec, status }: Resource): string {
  const { conditions = [], ...rest } = status;
  const head = [
    ['Kind', kind],
    ['Name', metadata.name],
    ['Namespace', metadata.namespace],
    ['Uid', metadata.uid],
    ['Generation', metadata.generation],
    ['Managed by', metadata.managedBy],
    ['Source', metadata.source],
    ['Owner', metadata.owner && `${metadata.owner.subject} of ${metadata.owner.issuer}`],
    ['Changed', metadata.updatedAt],
  ].flatMap(([title, value]) => (value === undefined ? [] : [[`${title}:`, oneLine(String(value))]]));
  const found = conditions.map((condition) => [
    condition.type,
    condition.status,
    condition.reason,
    oneLine(condition.message),
  ]);
  const section = (title: string, lines: readonly string[]) => ['', `${title}:`, ...lines.map((line) => `  ${line}`)];
  return [
    ...table(head),
    ...section('Spec', printable(yaml(spec)).split('\n')),
    ...(Object.keys(rest).length > 0 ? section('Status', printable(yaml(rest)).split('\n')) : []),
    ...(found.length > 0 ? section('Conditions', table([['TYPE', 'STATUS', 'REASON', 'MESSAGE'], ...found])) : []),
  ].join('\n');
}
