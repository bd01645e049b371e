import type { DiscoveredTool } from '@onbehalf/resources';
import { columnsOf } from '../columns.ts';
import { CliError } from '../error.ts';
import type { Column } from '../output.ts';
import { nameOf, requireAddress } from '../resource-names.ts';
import { examples, type Register } from '../task.ts';
import { confirm, oneLine } from '../terminal.ts';

export const registerMcp: Register = (program, act) => {
  const mcp = program
    .command('mcp')
    .summary('tool servers and their tools')
    .description('Tool servers (MCP) and what they offer.');
  mcp
    .command('ls')
    .summary('tool servers that you may see')
    .addHelpText('after', examples('mcp ls', 'mcp ls -o wide'))
    .action(
      act<object, []>(async ({ io, globals, out, server }) => {
        const { items } = await server().client.list('mcp-servers', { namespace: globals.namespace });
        out.list(items, columnsOf('RemoteMCPServer', io.now()), nameOf, 'There is none. Next: onbehalf apply -f FILE');
      }),
    );
  mcp
    .command('tools <server>')
    .summary('the tools of a server, and whether they are approved')
    .option('--refresh', 'ask the server again first')
    .addHelpText('after', examples('mcp tools orders', 'mcp tools orders --refresh', 'mcp tools orders -o json'))
    .action(
      act<{ refresh?: boolean }, [string]>(async ({ globals, out, server }, { refresh }, name) => {
        const { client } = server();
        const address = requireAddress(name, globals);
        const found = refresh ? await client.discoverTools(address) : await client.get('mcp-servers', address);
        const empty =
          found.status.conditions?.find(({ type }) => type === 'ToolsDiscovered')?.message ?? 'No tool was found.';
        out.list(found.status.tools ?? [], columns, (tool) => tool.name, oneLine(empty));
      }),
    );
  mcp
    .command('refresh <server>')
    .summary('list the tools of a server again, now')
    .description(
      'Asks a server for its tools and says what appeared, changed and went since the last time. Where the tools are listed with a ' +
        "person's own token (discovery: User, and mode Forward by default) it is yours, and what an administrator gets is approved.",
    )
    .addHelpText('after', examples('mcp refresh orders', 'mcp refresh orders -o json'))
    .action(
      act<object, [string]>(async ({ globals, out, server }, _options, name) => {
        const { client } = server();
        const address = requireAddress(name, globals);
        const before = (await client.get('mcp-servers', address)).status.tools ?? [];
        out.hint(`Asking ${name} …`);
        const found = await client.discoverTools(address);
        const listed = found.status.conditions?.find(({ type }) => type === 'ToolsDiscovered');
        if (listed?.status !== 'True')
          throw new CliError(
            'agent',
            oneLine(listed?.message ?? 'its tools could not be listed'),
            `onbehalf describe mcp-server/${name}`,
          );
        const now = found.status.tools ?? [];
        out.list(
          now,
          [...columns, { title: 'CHANGE', value: (tool) => changeOf(before, tool) }],
          (tool) => tool.name,
          oneLine(listed.message),
        );
        const gone = before.filter((tool) => !now.some((one) => one.name === tool.name)).map((tool) => tool.name);
        if (gone.length > 0) out.hint(oneLine(`No longer there: ${gone.join(', ')}`));
        if (now.some((tool) => !tool.approved)) out.hint(`Next: onbehalf mcp approve-tools ${name}`);
      }),
    );
  mcp
    .command('approve-tools <server> [tools...]')
    .summary('approve tools that appeared or changed')
    .description(
      'Lets agents use tools that appeared or changed at a server since they were approved. Look at them first.',
    )
    .option('--all', 'every tool that was found')
    .addHelpText('after', examples('mcp approve-tools orders refund_order', 'mcp approve-tools orders --all --yes'))
    .action(
      act<{ all?: boolean }, [string, string[]]>(async ({ io, globals, out, server }, { all }, name, tools) => {
        if ((tools.length === 0) === !all)
          throw new CliError('usage', 'which tools? Name them, or write --all', `onbehalf mcp tools ${name}`);
        const { client } = server();
        const address = requireAddress(name, globals);
        const found = (await client.get('mcp-servers', address)).status.tools ?? [];
        const stray = tools.find((wanted) => !found.some((tool) => tool.name === wanted));
        if (stray !== undefined)
          throw new CliError('usage', `${name} has not been found to offer ${stray}`, `onbehalf mcp tools ${name}`);
        // What is approved is what was shown: never a tool that appears or changes in the meantime.
        const waiting = found.filter((tool) => !tool.approved && (all || tools.includes(tool.name)));
        if (waiting.length === 0) return out.hint('Every tool is approved already.');
        for (const tool of waiting) out.hint(oneLine(`${tool.name}: ${tool.description}`));
        const names = waiting.map((tool) => tool.name);
        await confirm(io, `Approve ${names.join(', ')} of ${name}?`, globals);
        const shown = waiting.map(({ name: tool, hash }) => ({ name: tool, hash }));
        const changed = await client.approveTools(address, shown);
        const now = (changed.status.tools ?? []).filter((tool) => names.includes(tool.name));
        out.list(now, columns, (tool) => tool.name, '');
      }),
    );
};

function changeOf(before: readonly DiscoveredTool[], { name, hash }: DiscoveredTool): string {
  const known = before.find((tool) => tool.name === name);
  return known === undefined ? 'new' : known.hash === hash ? '' : 'changed';
}

const columns: Column<DiscoveredTool>[] = [
  { title: 'NAME', value: ({ name }) => name },
  { title: 'APPROVED', value: ({ approved }) => approved },
  { title: 'DESCRIPTION', value: ({ description }) => description.slice(0, 80) },
  { title: 'FLAGGED', value: ({ flagged }) => flagged?.join(', '), wide: true },
  { title: 'HASH', value: ({ hash }) => hash, wide: true },
];
