import { readContexts, rememberServer } from '../contexts.ts';
import { CliError } from '../error.ts';
import { serverUrl } from '../server.ts';
import { examples, type Register } from '../task.ts';
import { readLogin, tokenFile } from '../token-file.ts';

interface Context {
  server: string;
  current: boolean;
  signedIn: boolean;
}

export const registerContext: Register = (program, act) => {
  const context = program
    .command('context')
    .summary('which server is meant where none is said')
    .description(
      'Servers that you signed in at. The current one is used where neither --server nor ONBEHALF_URL nor a data directory (ONBEHALF_DATA_DIR, ./.onbehalf) says another.',
    );
  context
    .command('ls')
    .summary('the servers that you signed in at')
    .addHelpText('after', examples('context ls', 'context ls -o json'))
    .action(
      act<object, []>(async ({ io, out }) => {
        const { current, servers } = readContexts(io);
        const items: Context[] = [];
        for (const server of servers) {
          const login = await readLogin(tokenFile(io, server)).catch(() => undefined);
          items.push({ server, current: server === current, signedIn: login !== undefined });
        }
        out.list(
          items,
          [
            { title: 'CURRENT', value: (item) => (item.current ? '*' : undefined) },
            { title: 'SERVER', value: (item) => item.server },
            { title: 'SIGNED IN', value: (item) => (item.signedIn ? 'yes' : 'no') },
          ],
          (item) => item.server,
          'There is none. Next: onbehalf login --server URL',
        );
      }),
    );
  context
    .command('use <server>')
    .summary('mean this server from now on')
    .addHelpText('after', examples('context use https://onbehalf.example.com', 'context use http://localhost:9000'))
    .action(
      act<object, [string]>(async ({ io, out }, _options, said) => {
        const server = serverUrl(said);
        if (!readContexts(io).servers.includes(server))
          throw new CliError('not_found', `you never signed in at ${server}`, `onbehalf login --server ${server}`);
        await rememberServer(io, server);
        out.one({ current: server }, server, () => `${server} is meant from now on`);
      }),
    );
};
