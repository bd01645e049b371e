import { rememberServer } from '../contexts.ts';
import { login, logout } from '../login.ts';
import { examples, type Register } from '../task.ts';
import { oneLine } from '../terminal.ts';

interface Options {
  browser: boolean;
  issuer?: string;
}

export const registerLogin: Register = (program, act) => {
  program
    .command('login')
    .summary('sign in at a server, in a browser')
    .description('Signs in by authorization code with PKCE. The tokens are kept in a file that only you can read.')
    .option('--issuer <name>', 'where your account is: the name of a TrustedIssuer with a sign-in')
    .option('--no-browser', 'only print the address')
    .addHelpText('after', examples('login', 'login --issuer keycloak', 'login --no-browser'))
    .action(
      act<Options, []>(async ({ io, out, server, address }, { browser, issuer }) => {
        const url = address();
        const show = (page: string, code: string) => {
          const opened = browser && io.openBrowser(page);
          io.stderr.write(
            `${opened ? 'Sign in in the browser. If none opens:' : 'Open this address and sign in:'}\n  ${page}\nGo on there only if the page shows ${code}\n`,
          );
        };
        await login(io, url, show, issuer);
        await rememberServer(io, url);
        const me = await server().client.me();
        out.one({ server: url, issuer: me.issuer, subject: me.subject, role: me.role }, me.subject, () =>
          oneLine(`signed in at ${url} as ${me.name ?? me.subject} (${me.role})`),
        );
      }),
    );
  program
    .command('logout')
    .summary('sign out: revoke the tokens and delete them here')
    .addHelpText('after', examples('logout', 'logout --server https://onbehalf.example.com'))
    .action(
      act<object, []>(async ({ io, out, address }) => {
        const url = address();
        const was = await logout(io, url);
        out.one({ server: url, signedOut: was }, url, () =>
          was ? `signed out at ${url}` : `you were not signed in at ${url}`,
        );
      }),
    );
  program
    .command('whoami')
    .summary('who the server says that you are')
    .addHelpText('after', examples('whoami', 'whoami -o json', 'whoami --local'))
    .action(
      act<object, []>(async ({ out, server }) => {
        const me = await server().client.me();
        const { csrf: _csrf, ...shown } = me;
        const groups = me.groups.length > 0 ? `, groups ${me.groups.join(' ')}` : '';
        out.one(shown, me.subject, () =>
          oneLine(`${me.subject}${me.name === undefined ? '' : ` (${me.name})`} of ${me.issuer}: ${me.role}${groups}`),
        );
      }),
    );
};
