import { ApiError } from '@onbehalf/client';
import { API_VERSION } from '@onbehalf/resources';
import { columnsOf } from '../columns.ts';
import { CliError } from '../error.ts';
import { nameOf, requireAddress } from '../resource-names.ts';
import { addSecretSource, readSecret, type SecretSource } from '../secret-source.ts';
import { examples, type Register, type Task } from '../task.ts';
import { confirm } from '../terminal.ts';

export const registerSecret: Register = (program, act) => {
  const secret = program
    .command('secret')
    .summary('credentials: set, list, delete')
    .description('Sealed values that other resources refer to. Nothing ever shows them again.');
  addSecretSource(
    secret
      .command('set <name> <key>')
      .summary('set one field of a Secret')
      .description(
        'Sets a field; makes the Secret where there is none. The value comes from standard input, --from-file or --from-env, never from an argument.',
      ),
  )
    .addHelpText(
      'after',
      examples(
        'secret set openai apiKey < key.txt',
        'secret set openai apiKey --from-env OPENAI_API_KEY',
        'secret set orders token --from-file ./token',
      ),
    )
    .action(act<SecretSource, [string, string]>(set));
  secret
    .command('ls')
    .summary('which Secrets there are, and which of their fields are set')
    .addHelpText('after', examples('secret ls', 'secret ls -o yaml'))
    .action(
      act<object, []>(async ({ io, globals, out, server }) => {
        const { items } = await server().client.list('secrets', { namespace: globals.namespace });
        out.list(
          items,
          columnsOf('Secret', io.now()),
          nameOf,
          'There is none. Next: onbehalf secret set NAME KEY < FILE',
        );
      }),
    );
  secret
    .command('delete <name>')
    .summary('delete a Secret with all its fields')
    .addHelpText('after', examples('secret delete openai', 'secret delete openai --yes'))
    .action(
      act<object, [string]>(async ({ io, globals, out, server }, _options, name) => {
        const address = requireAddress(name, globals);
        await confirm(io, `Delete the Secret ${name}? What refers to it stops working.`, globals);
        await server().client.remove('secrets', address);
        out.one({ deleted: `secret/${name}` }, `secret/${name}`, () => `secret/${name} deleted`);
      }),
    );
};

async function set(task: Task, source: SecretSource, name: string, key: string): Promise<void> {
  const { io, globals, out } = task;
  if (!/^[A-Za-z0-9._-]{1,253}$/.test(key))
    throw new CliError(
      'usage',
      'KEY is the name of the field; its value is never an argument',
      `onbehalf secret set ${name} KEY < FILE`,
    );
  const address = requireAddress(name, globals);
  const value = await readSecret(io, source);
  const { client } = task.server();
  const found = await client.get('secrets', address).catch((error: unknown) => {
    if (error instanceof ApiError && error.status === 404) return undefined;
    throw error;
  });
  if (!found) {
    const { namespace } = address;
    const metadata = { name: address.name, ...(namespace !== undefined && { namespace }) };
    await client.create('secrets', { apiVersion: API_VERSION, kind: 'Secret', metadata, spec: {} });
  }
  const changed = await client.setSecretValues(address, { [key]: value });
  out.one(
    changed,
    nameOf(changed),
    () => `${nameOf(changed)}: ${key} ${found?.status.fields?.[key] ? 'replaced' : 'set'}`,
  );
}
