import type { Client, Role } from '@onbehalf/client';
import { type PrincipalView, roles } from '@onbehalf/resources';
import { Option } from 'commander';
import { CliError } from '../error.ts';
import { age, type Column } from '../output.ts';
import { addSecretSource, readSecret, type SecretSource } from '../secret-source.ts';
import { examples, type Register } from '../task.ts';
import { confirm, oneLine } from '../terminal.ts';

interface CreateOptions extends SecretSource {
  name?: string;
  email?: string;
  role?: Role;
  password?: boolean;
}
interface Whose {
  issuer?: string;
}

const ISSUER = ['--issuer <url>', 'issuer of the user, where several have the subject'] as const;

export const registerUser: Register = (program, act) => {
  program
    .command('login-link')
    .summary('a one-time address that signs a user in')
    .description('Makes an address that signs a local user in once, for 10 minutes. Only on the machine of the server.')
    .requiredOption('--user <subject>', 'who')
    .addHelpText('after', examples('login-link --user alice', 'login-link --user root --data-dir ./data'))
    .action(
      act<{ user: string }, []>(async ({ out, server }, { user }) => {
        const { client, local } = server(true);
        if (!local)
          throw new CliError(
            'usage',
            'login links are made on the machine of the server',
            'onbehalf login-link --user NAME --data-dir DIR',
          );
        const link = await client.createLoginLink(user);
        out.one(link, link.url, () => link.url);
        out.hint(`Good once, until ${link.expiresAt}.`);
      }),
    );
  const user = program
    .command('user')
    .summary('people: list, make, disable')
    .description('Everybody whom the server knows. Uses the administration socket where there is one.');
  user
    .command('ls')
    .summary('everybody who was ever known here')
    .addHelpText('after', examples('user ls', 'user ls -o json'))
    .action(
      act<object, []>(async ({ io, out, server }) => {
        out.list(
          await server(true).client.principals(),
          columns(io.now()),
          ({ subject }) => subject,
          'There is nobody.',
        );
      }),
    );
  addSecretSource(
    user
      .command('create <subject>')
      .summary('make a local user')
      .option('--name <text>', 'display name')
      .option('--email <address>', 'e-mail address')
      .addOption(new Option('--role <role>', 'what they may do').choices(roles).default('REGULAR'))
      .option('--password', 'with a password, read from standard input, --from-file or --from-env (else: login links)'),
  )
    .addHelpText(
      'after',
      examples(
        'user create carol --name "Carol C."',
        'user create dave --role ADMIN --password < password.txt',
        'user create eve --password --from-env EVE_PASSWORD',
      ),
    )
    .action(
      act<CreateOptions, [string]>(async ({ io, out, server }, options, subject) => {
        const { name, email, role } = options;
        const wanted = options.password || options.fromFile !== undefined || options.fromEnv !== undefined;
        const password = wanted ? await readSecret(io, options) : undefined;
        const made = await server(true).client.createPrincipal({
          subject,
          ...(name !== undefined && { name }),
          ...(email !== undefined && { email }),
          ...(role !== undefined && { role }),
          ...(password !== undefined && { password }),
        });
        out.one(made, subject, () => oneLine(`user ${made.subject} created (${made.role ?? 'REGULAR'})`));
        if (password === undefined) out.hint(`Next: onbehalf login-link --user ${subject}`);
      }),
    );
  for (const [verb, disabled] of [
    ['disable', true],
    ['enable', false],
  ] as const)
    user
      .command(`${verb} <subject>`)
      .summary(disabled ? 'shut a user out, at once' : 'let a user in again')
      .option(...ISSUER)
      .addHelpText('after', examples(`user ${verb} mallory`, `user ${verb} mallory --issuer https://id.example.com`))
      .action(
        act<Whose, [string]>(async ({ io, globals, out, server }, { issuer }, subject) => {
          const { client } = server(true);
          const found = await resolveUser(client, subject, issuer);
          if (disabled) await confirm(io, `Shut ${subject} out and stop what runs for them?`, globals);
          await client.changePrincipal({ issuer: found.issuer, subject, disabled });
          out.one({ ...found, disabled }, subject, () => oneLine(`user ${subject} ${verb}d`));
        }),
      );
  user
    .command('set-role <subject> <role>')
    .summary(`change what a user may do: ${roles.join(', ')}`)
    .option(...ISSUER)
    .addHelpText('after', examples('user set-role alice AUDITOR', 'user set-role bob INACTIVE'))
    .action(
      act<Whose, [string, string]>(async ({ out, server }, { issuer }, subject, word) => {
        const role = roles.find((known) => known === word.toUpperCase());
        if (!role) throw new CliError('usage', `there is no role ${word}: known are ${roles.join(', ')}`);
        const { client } = server(true);
        const found = await resolveUser(client, subject, issuer);
        await client.changePrincipal({ issuer: found.issuer, subject, role });
        out.one({ ...found, role }, subject, () => oneLine(`user ${subject} is ${role} now`));
      }),
    );
};

const columns = (now: number): Column<PrincipalView>[] => [
  { title: 'SUBJECT', value: ({ subject }) => subject },
  { title: 'NAME', value: ({ name }) => name },
  { title: 'ROLE', value: ({ role }) => role },
  { title: 'STATE', value: ({ disabled }) => (disabled ? 'disabled' : 'active') },
  { title: 'LAST SEEN', value: ({ lastSeen }) => age(lastSeen, now) },
  { title: 'EMAIL', value: ({ email }) => email, wide: true },
  { title: 'KIND', value: ({ kind }) => kind, wide: true },
  { title: 'ISSUER', value: ({ issuer }) => issuer, wide: true },
];

/** One subject can be two people, of two issuers. */
async function resolveUser(client: Client, subject: string, issuer: string | undefined): Promise<PrincipalView> {
  const found = (await client.principals()).filter(
    (known) => known.subject === subject && (issuer === undefined || known.issuer === issuer),
  );
  const [only] = found;
  if (!only) throw new CliError('not_found', `there is no user ${subject}`, 'onbehalf user ls');
  if (found.length > 1)
    throw new CliError(
      'usage',
      `${subject} is known from ${found.map((known) => known.issuer).join(' and ')}`,
      `--issuer ${only.issuer}`,
    );
  return only;
}
