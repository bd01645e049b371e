import type { Client } from '@onbehalf/client';
import { type ExchangeTrial, kindNames, kinds, type Resource, tokenServiceNameOf } from '@onbehalf/resources';
import { type Complaint, complaintColumns, complaintsOf, isOnlyTold } from '../complaints.ts';
import { CliError, EXIT } from '../error.ts';
import type { Column } from '../output.ts';
import { nameOf, requireAddress } from '../resource-names.ts';
import { examples, type Register } from '../task.ts';
import { oneLine } from '../terminal.ts';

/** What one server came to. */
interface Finding {
  server: string;
  trial: ExchangeTrial;
}

const columns: Column<Finding>[] = [
  { title: 'SERVER', value: ({ server }) => server },
  { title: 'RESULT', value: ({ trial }) => (trial.ok ? 'ok' : trial.code) },
  { title: 'TOKEN FOR', value: ({ trial }) => (trial.ok ? textOf(trial.claims?.aud) : undefined) },
  { title: 'SUBJECT', value: ({ trial }) => (trial.ok ? textOf(trial.claims?.sub) : undefined) },
  { title: 'AGENT', value: ({ trial }) => (trial.ok ? agentOf(trial.claims) : undefined) },
  { title: 'WHO ACTS', value: ({ trial }) => trial.actBy },
  { title: 'WHAT TO DO', value: ({ trial }) => trial.advice },
];

const textOf = (value: unknown) => (value === undefined ? undefined : [value].flat().map(String).join(' '));

function agentOf(claims: Record<string, unknown> | undefined): string | undefined {
  const act = claims?.act;
  const actor = typeof act === 'object' && act !== null && 'sub' in act ? act.sub : claims?.azp;
  return textOf(actor);
}

/** Why there is nothing to try, and what to do: whoever administers is not told to get a Grant. */
async function nobodyExchanges(client: Client, name: string): Promise<CliError> {
  if ((await client.me()).role !== 'ADMIN')
    return new CliError(
      'not_found',
      `no tool server that you may see exchanges at ${name}`,
      'onbehalf get mcp-servers -o wide; a Grant with `read` on their namespace shows them to you',
    );
  const services = (await client.list('token-services')).items.map(({ metadata }) => metadata.name);
  return services.includes(name)
    ? new CliError(
        'not_found',
        `no tool server exchanges at ${name}`,
        `spec.auth of a RemoteMCPServer: {mode: Exchange, tokenServiceRef: {name: ${name}}}`,
      )
    : new CliError(
        'not_found',
        `there is no TokenService ${name}: there are ${services.join(', ')}`,
        'onbehalf init --list shows what to write one from, and onbehalf apply makes it',
      );
}

export const registerDoctor: Register = (program, act) => {
  const doctor = program
    .command('doctor')
    .summary('what is not set up right, and what to do. Exit code 1: something is not right')
    .description(
      'Lists what the server itself has found wrong at the resources that you may see. Its commands try what cannot be seen from the configuration alone.',
    )
    .addHelpText('after', examples('doctor', 'doctor -o json', 'doctor token-service keycloak'))
    .action(
      act<object, []>(async ({ globals, out, server, exit }) => {
        const { client } = server();
        const complaints: Complaint[] = [];
        for (const kind of kindNames) {
          const { items } = await client.list(kinds[kind].plural, { namespace: globals.namespace });
          for (const resource of items as Resource[]) complaints.push(...complaintsOf(resource));
        }
        out.list(
          complaints,
          complaintColumns,
          ({ resource }) => nameOf(resource),
          'Nothing is wrong that you may see.',
        );
        if (!complaints.every(isOnlyTold)) exit(EXIT.failure);
      }),
    );
  doctor
    .command('token-service <name>')
    .summary('exchange once for each server that uses it. Exit code 1: something is not right')
    .description(
      'Exchanges your own token once for each tool server that uses this token service, as one of your agents would: sign in where that token service’s people do. No tool server is called, and the tokens are thrown away. What fails says who must do what.',
    )
    .option('--agent <name>', 'through this agent (NAME or NAMESPACE.NAME)')
    .addHelpText('after', examples('doctor token-service keycloak', 'doctor token-service default --agent assistant'))
    .action(
      act<{ agent?: string }, [string]>(async ({ out, server, exit }, { agent }, name) => {
        const { client } = server();
        const { items } = await client.list('mcp-servers');
        const users = items.filter(({ spec }) => spec.auth?.mode === 'Exchange' && tokenServiceNameOf(spec) === name);
        if (users.length === 0) throw await nobodyExchanges(client, name);
        const findings: Finding[] = [];
        for (const { metadata } of users)
          findings.push({
            server: metadata.name,
            trial: await client.testExchange({ name: metadata.name, namespace: metadata.namespace }, { agent }),
          });
        out.list(findings, columns, ({ server: found }) => found, '');
        if (findings.some(({ trial }) => !trial.ok)) exit(EXIT.failure);
      }),
    );
  const auth = program.commands.find((command) => command.name() === 'auth');
  auth
    ?.command('test-exchange <server>')
    .summary('exchange once as yourself, and see the claims')
    .option('--agent <name>', 'through this agent (NAME or NAMESPACE.NAME)')
    .addHelpText('after', examples('auth test-exchange orders', 'auth test-exchange orders --agent assistant -o json'))
    .action(
      act<{ agent?: string }, [string]>(async ({ globals, out, server, exit }, { agent }, name) => {
        const trial = await server().client.testExchange(requireAddress(name, globals), { agent });
        out.one(trial, name, () =>
          JSON.stringify(
            trial.ok ? trial.claims : { code: trial.code, actBy: trial.actBy, service: trial.service },
            null,
            2,
          ),
        );
        out.hint(
          oneLine(
            trial.ok
              ? `exchanged in ${trial.ms} ms; the token was thrown away`
              : `${trial.message}. Next: ${trial.advice}`,
          ),
        );
        if (!trial.ok) exit(EXIT.failure);
      }),
    );
};
