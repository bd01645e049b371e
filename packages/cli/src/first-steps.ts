import { type Client, createClient } from '@onbehalf/client';
import { unixSocketFetch } from './unix-socket.ts';

const ADMINISTRATOR = 'admin';

/**
 * What somebody reads who has started a server that has no administrator yet, line by line; nothing once there is one.
 * `terminal`: whether only a person reads it. A link that signs in is for nobody's log.
 */
export async function firstSteps(
  running: { url: string; dataDir: string; adminSocket: string },
  terminal: boolean,
): Promise<string[]> {
  const client = createClient({ baseUrl: 'http://localhost', fetch: unixSocketFetch(running.adminSocket) });
  const people = await client.principals();
  if (people.some(({ role, disabled }) => role === 'ADMIN' && !disabled)) return [];
  const named = people.some(({ subject }) => subject === ADMINISTRATOR);
  return [
    ...(terminal && !named ? await linkOf(client) : commandsFor(running.dataDir, named)),
    'Then:',
    `  onbehalf login --server ${running.url}     # in that browser; this server is meant from then on`,
    '  onbehalf init && onbehalf apply -f onbehalf.resources.yaml     # an agent and a tool server to fill in',
    '  onbehalf doctor     # what is missing yet',
  ];
}

async function linkOf(client: Client): Promise<string[]> {
  await client.createPrincipal({ subject: ADMINISTRATOR, role: 'ADMIN' });
  const { url } = await client.createLoginLink(ADMINISTRATOR);
  return [
    `Nobody administers this server yet. Become ${ADMINISTRATOR} in your browser (once, within 10 minutes):`,
    `  ${url}`,
  ];
}

function commandsFor(dataDir: string, named: boolean): string[] {
  const of = `--data-dir ${dataDir}`;
  const make = named ? `user set-role ${ADMINISTRATOR} ADMIN` : `user create ${ADMINISTRATOR} --role ADMIN`;
  return [
    'Nobody administers this server yet. A first administrator, and a link that signs in once:',
    `  onbehalf ${make} ${of} && onbehalf login-link --user ${ADMINISTRATOR} ${of}`,
  ];
}
