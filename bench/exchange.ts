import { request } from 'node:http';
import { SecretValue } from '@onbehalf/secret-value';
import { createTokenExchange, type SubjectSource } from '@onbehalf/token-exchange';
import { startFakeTokenService } from '@onbehalf/token-exchange/testing';
import { cpuPer, inTurn, type Line, micros } from './measure.ts';

const HITS = 20_000;
const MISSES = 100;

export async function benchExchange(): Promise<Line[]> {
  await using service = await startFakeTokenService();
  const exchange = createTokenExchange({
    tokenService: {
      name: 'bench',
      issuer: service.issuer,
      profile: 'rfc8693',
      client: { auth: 'SecretPost', id: 'platform', keyId: '1', secret: SecretValue.of('platform-secret') },
    },
    installation: 'bench',
  });
  const subject: SubjectSource = await service.user('alice');
  const target = { audience: [], resource: ['https://orders.example/mcp'], scopes: ['orders.read'] };
  const actor = service.actor({ uid: 'agent-1', name: 'default/assistant' });
  const agent = { uid: 'agent-1', name: 'default/assistant' };
  const ask = (session: string) => exchange.token({ subject, target, actor, agent, session });
  await cpuPer(HITS, () => ask('warm'));
  const hit = await cpuPer(HITS, () => ask('warm'));

  let session = 0;
  const miss = await inTurn(
    5,
    () => wallPer(MISSES, () => ask(`s${session++}`)),
    () => wallPer(MISSES, () => barePost(service.endpoint, service.requests.at(-1)?.form.toString() ?? '')),
  );
  const before = service.counts.token;
  await Promise.all(Array.from({ length: 100 }, () => ask('together')));
  const together = service.counts.token - before;
  return [
    { measure: 'exchange hit, CPU', ours: micros(hit), reference: '–', ratio: undefined, target: '≤ 2 µs' },
    {
      measure: 'exchange miss, wall (verification included)',
      ours: micros(miss.ours),
      reference: `bare node:http POST ${micros(miss.reference)}`,
      ratio: miss.ratio,
      target: '≤ 1.15',
    },
    {
      measure: '100 first calls at once, requests',
      ours: String(together),
      reference: '–',
      ratio: undefined,
      target: '1',
    },
  ];
}

async function wallPer(count: number, work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  for (let index = 0; index < count; index++) await work();
  return ((performance.now() - started) * 1_000) / count;
}

/** What the same form costs without us: sent, read, parsed; nothing looked into. */
function barePost(url: string, body: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      url,
      { method: 'POST', headers: { 'content-type': 'application/x-www-form-urlencoded' } },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => resolve(JSON.parse(Buffer.concat(chunks).toString('utf8'))));
      },
    );
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}
