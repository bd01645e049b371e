/** The embedded token service over HTTP, against a bare server that does the same cryptography. */
import { type ChildProcess, fork } from 'node:child_process';
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign, verify } from 'node:crypto';
import { once } from 'node:events';
import { Agent, createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exchangeForm } from '../packages/platform/test/issuer/exchange-fixture.ts';
import { identityFixture, ORDERS } from '../packages/platform/test/issuer/fixture.ts';
import { signInByLink } from '../packages/platform/test/people/people.ts';
import { exchangeAtKeycloak } from './keycloak.ts';
import { inTurn, type Line, micros } from './measure.ts';

const REQUESTS = 600;
const AT_ONCE = 8;
const ROUNDS = 5;

export async function benchEmbeddedIssuer(): Promise<Line[]> {
  const [service, bare] = [start('service'), start('bare')];
  const [at, reference] = [String(await answer(service)), String(await answer(bare))];
  const measured = await inTurn(
    ROUNDS,
    async () => perRequest(service, at, await formsOf(service)),
    async () => perRequest(bare, reference, await formsOf(service)),
  );
  for (const child of [service, bare]) {
    child.disconnect();
    await once(child, 'exit');
  }
  const keycloak = await exchangeAtKeycloak();
  return [
    {
      measure:
        'embedded token service: CPU of one exchange over HTTP, against a bare node:http that verifies and signs',
      ours: micros(measured.ours),
      reference: micros(measured.reference),
      ratio: measured.ratio,
      target: '≤ 1000 µs, ≤ 2',
    },
    {
      measure: 'the same, against Keycloak',
      ours: micros(measured.ours),
      reference: keycloak === undefined ? 'not set up' : micros(keycloak),
      ratio: keycloak === undefined ? undefined : measured.ours / keycloak,
      target: '≤ 0.2',
    },
  ];
}

const start = (what: string) => fork(import.meta.filename, [what], { execArgv: ['--conditions=onbehalf-source'] });

async function answer(child: ChildProcess): Promise<unknown> {
  const [message] = await once(child, 'message');
  return message;
}

function ask(child: ChildProcess, what: string): Promise<unknown> {
  child.send(what);
  return answer(child);
}

const formsOf = async (child: ChildProcess) => (await ask(child, 'forms')) as string[];

/** CPU microseconds of that process, all its threads together. */
async function perRequest(child: ChildProcess, address: string, forms: readonly string[]): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE });
  const before = Number(await ask(child, 'cpu'));
  const left = [...forms];
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (let form = left.pop(); form !== undefined; form = left.pop()) await post(address, form, agent);
    }),
  );
  const used = Number(await ask(child, 'cpu')) - before;
  agent.destroy();
  return used / forms.length;
}

function post(address: string, body: string, agent: Agent): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/x-www-form-urlencoded', 'content-length': Buffer.byteLength(body) };
    const sent = request(address, { method: 'POST', headers, agent }, (response) => {
      response.resume().on('end', resolve);
      if (response.statusCode !== 200) reject(new Error(`${address} answered ${response.statusCode}`));
    });
    sent.on('error', reject).end(body);
  });
}

function serveCpu(forms?: () => Promise<string[]>): void {
  process.on('message', async (what) => {
    const { user, system } = process.cpuUsage();
    process.send?.(what === 'forms' ? await forms?.() : user + system);
  });
}

async function serveIssuer(): Promise<void> {
  const f = await identityFixture();
  const { access_token: subject } = await signInByLink(f, 'alice');
  // Each is good once: its client assertion and its actor token are.
  serveCpu(async () => {
    const forms: string[] = [];
    for (let i = 0; i < REQUESTS; i++)
      forms.push(new URLSearchParams(await exchangeForm(f, subject, ORDERS)).toString());
    return forms;
  });
  process.once('disconnect', () => f[Symbol.asyncDispose]().catch(() => undefined));
  process.send?.(`${f.publicUrl}/sts/token`);
}

/** Parses the form, verifies as many signatures as an exchange has (of its own), signs one, and keeps nothing. */
async function serveBare(): Promise<void> {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const [own, other] = [jwsKey(privateKey), createPublicKey(publicKey.export({ format: 'pem', type: 'spki' }))];
  const signature = own('{}');
  const server = createServer(async (incoming, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming as AsyncIterable<Buffer>) chunks.push(chunk);
    const form = new URLSearchParams(Buffer.concat(chunks).toString());
    for (const name of ['client_assertion', 'subject_token', 'actor_token']) {
      JSON.parse(Buffer.from(form.get(name)?.split('.')[1] ?? '', 'base64url').toString());
      verify('sha256', Buffer.from('{}'), { key: other, dsaEncoding: 'ieee-p1363' }, signature);
    }
    const token = own(JSON.stringify({ sub: 'alice', aud: form.get('resource') })).toString('base64url');
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ access_token: token }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  serveCpu();
  process.once('disconnect', () => {
    server.close();
    server.closeAllConnections();
  });
  process.send?.(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
}

const jwsKey = (key: KeyObject) => {
  const prepared = {
    key: createPrivateKey(key.export({ format: 'pem', type: 'pkcs8' })),
    dsaEncoding: 'ieee-p1363' as const,
  };
  return (text: string) => sign('sha256', Buffer.from(text), prepared);
};

if (import.meta.main) await (process.argv[2] === 'bare' ? serveBare() : serveIssuer());
