import { createPublicKey, verify } from 'node:crypto';
import { request } from 'node:http';
import {
  createTokenExchange,
  type ExchangeCrypto,
  SecretValue,
  type SubjectSource,
  type TokenExchangeOptions,
} from '@onbehalf/token-exchange';
import { nodeCrypto, nodeFetch } from '@onbehalf/token-exchange/node';
import { compactVerify, createRemoteJWKSet, type JWK } from 'jose';
import { createEgress } from '../packages/platform/src/egress/index.ts';
import { exchangeFetch } from '../packages/platform/src/tools/exchange-fetch.ts';
import { cpuPer, type Line, median, micros } from './measure.ts';
import { type RemoteTokenService, startRemoteTokenService } from './token-service.ts';

const HITS = 50_000;
const MISSES = 250;
const ROUNDS = 9;
const TARGET = { audience: [], resource: ['https://orders.example/mcp'], scopes: ['orders.read'] };

/** On this side: the form made, sent and read, the answer checked, cached, told to hooks. The service is elsewhere. */
export async function benchExchange(): Promise<Line[]> {
  await using service = await startRemoteTokenService();
  const subject = await service.user('alice');
  return [
    await hit(service, subject),
    ...(await ownWork(service, subject)),
    ...(await miss(service, subject)),
    await together(service, subject),
    ...(await requestsPerThousand(service)),
  ];
}

function exchangeAt(service: RemoteTokenService, more: Partial<TokenExchangeOptions> = {}) {
  return createTokenExchange({
    tokenService: {
      name: 'bench',
      issuer: service.issuer,
      profile: 'rfc8693',
      client: { auth: 'SecretPost', id: 'platform', keyId: '1', secret: SecretValue.of('platform-secret') },
    },
    installation: 'bench',
    actor: service.actor,
    agent: service.agent,
    ...more,
  });
}

async function hit(service: RemoteTokenService, subject: SubjectSource): Promise<Line> {
  const exchange = exchangeAt(service);
  const ask = () => exchange.token({ subject, target: TARGET, session: 'warm' });
  await cpuPer(HITS, ask);
  const cost = await cpuPer(HITS, ask);
  return { measure: 'exchange hit, CPU', ours: micros(cost), reference: '–', ratio: undefined, target: '≤ 2 µs' };
}

/** Reads the token without looking at its signature: only to show what the check costs. */
const unchecked: ExchangeCrypto = {
  ...nodeCrypto,
  async verify(jws) {
    const [header = '', payload = ''] = jws.split('.');
    return {
      payload: Buffer.from(payload, 'base64url'),
      protectedHeader: JSON.parse(Buffer.from(header, 'base64url').toString()) as Record<string, unknown>,
    };
  },
};

/** Without the network: the same answer each time. It also lets the compiler see the code before it is timed. */
async function ownWork(service: RemoteTokenService, subject: SubjectSource): Promise<Line[]> {
  let answer: string | undefined;
  const canned: typeof fetch = async (url, init) => {
    if (String(url) !== service.endpoint) return fetch(url, init);
    answer ??= await (await fetch(url, init)).text();
    return new Response(answer, { headers: { 'content-type': 'application/json' } });
  };
  const lines: Line[] = [];
  for (const [what, crypto] of [
    ['signature not checked', unchecked],
    ['everything checked (ES256)', nodeCrypto],
  ] as const) {
    const exchange = exchangeAt(service, { fetch: canned, crypto });
    let session = 0;
    const ask = () => exchange.token({ subject, target: TARGET, session: `w${session++}` });
    await cpuPer(20_000, ask);
    const ours = micros(await cpuPer(5_000, ask));
    const measure = `exchange miss without the network, ${what}, CPU`;
    lines.push({ measure, ours, reference: '–', ratio: undefined, target: 'reported' });
  }
  return lines;
}

async function miss(service: RemoteTokenService, subject: SubjectSource): Promise<Line[]> {
  let session = 0;
  const side = (more: Partial<TokenExchangeOptions>) => {
    const exchange = exchangeAt(service, more);
    return () => exchange.token({ subject, target: TARGET, session: `s${session++}` });
  };
  const form = await sameForm(service, subject);
  const keys = createRemoteJWKSet(new URL(service.jwksUri));
  const verifies = await preparedKey(service.jwksUri);
  const egress = createEgress({ privateNetworks: ['127.0.0.1/32'] });
  const sides = {
    node: side({ fetch: nodeFetch(), crypto: nodeCrypto }),
    unchecked: side({ fetch: nodeFetch(), crypto: unchecked }),
    web: side({}),
    egress: side({ fetch: exchangeFetch(egress), crypto: nodeCrypto }),
    bare: () => barePost(service.endpoint, form),
    verified: async () => verifies((await barePost(service.endpoint, form)).access_token),
    jose: async () => compactVerify((await barePost(service.endpoint, form)).access_token, keys),
  };
  const names = Object.keys(sides) as (keyof typeof sides)[];
  const rounds: Record<string, { wall: number; cpu: number }>[] = [];
  for (let round = -1; round < ROUNDS; round++) {
    const measured: Record<string, { wall: number; cpu: number }> = {};
    for (const name of names) measured[name] = await costPer(round < 0 ? 2_000 : MISSES, sides[name]);
    if (round >= 0) rounds.push(measured);
  }
  const line = (what: string, own: string, other: string, target: string, of: 'wall' | 'cpu' = 'wall'): Line => {
    const value = (name: string) => median(rounds.map((round) => round[name]?.[of] ?? Number.NaN));
    const ratios = rounds.map((round) => (round[own]?.[of] ?? Number.NaN) / (round[other]?.[of] ?? Number.NaN));
    const names: Record<string, string> = {
      bare: 'bare node:http POST',
      verified: 'the same POST + node:crypto verify',
      jose: 'the same POST + jose verify',
    };
    return {
      measure: `exchange miss, ${what}, ${of === 'cpu' ? 'CPU' : 'wall'}`,
      ours: micros(value(own)),
      reference: `${names[other]} ${micros(value(other))}`,
      ratio: median(ratios),
      target,
    };
  };
  await egress.close();
  const own = 'nodeFetch + nodeCrypto, everything checked';
  return [
    line(own, 'node', 'verified', '≤ 1.15', 'cpu'),
    line(own, 'node', 'verified', '≤ 1.15'),
    line(own, 'node', 'bare', 'reported', 'cpu'),
    line(own, 'node', 'bare', 'reported'),
    line(own, 'node', 'jose', 'reported', 'cpu'),
    line('the same, signature not checked', 'unchecked', 'bare', 'reported', 'cpu'),
    line("the platform's egress + nodeCrypto, everything checked", 'egress', 'verified', 'reported', 'cpu'),
    line("the platform's egress + nodeCrypto, everything checked", 'egress', 'bare', 'reported', 'cpu'),
    line('global fetch + WebCrypto (the default)', 'web', 'verified', 'reported', 'cpu'),
    line('global fetch + WebCrypto (the default)', 'web', 'bare', 'reported', 'cpu'),
  ];
}

async function together(service: RemoteTokenService, subject: SubjectSource): Promise<Line> {
  const exchange = exchangeAt(service);
  const before = await service.count();
  await Promise.all(
    Array.from({ length: 100 }, () => exchange.token({ subject, target: TARGET, session: 'together' })),
  );
  const ours = String((await service.count()) - before);
  return { measure: '100 first calls at once, requests', ours, reference: '–', ratio: undefined, target: '1' };
}

/** 1,000 tool calls, as the service counts them: turns of ten calls, and the whole in one session a person. */
async function requestsPerThousand(service: RemoteTokenService): Promise<Line[]> {
  const styles = {
    'one exchange for each call': { people: 1, servers: 1, sessionOf: (call: number) => `call ${call}` },
    'one for each turn of ten calls': { people: 1, servers: 1, sessionOf: (call: number) => `turn ${(call / 10) | 0}` },
    'one for each session and target (ours)': { people: 1, servers: 1, sessionOf: () => 'session' },
    'ours, 20 people × 5 servers': { people: 20, servers: 5, sessionOf: () => 'session' },
  };
  const lines: Line[] = [];
  for (const [style, { people, servers, sessionOf }] of Object.entries(styles)) {
    const exchange = exchangeAt(service, { fetch: nodeFetch(), crypto: nodeCrypto });
    const subjects: SubjectSource[] = [];
    for (let at = 0; at < people; at++) subjects.push(await service.user(`person-${at}`));
    const targets = Array.from({ length: servers }, (_, at) => ({
      ...TARGET,
      resource: [`https://s${at}.example/mcp`],
    }));
    const before = await service.count();
    for (let call = 0; call < 1_000; call++) {
      const [subject, target] = [subjects[call % people], targets[Math.floor(call / people) % servers]];
      if (subject && target) await exchange.token({ subject, target, session: sessionOf(call) });
    }
    const ours = String((await service.count()) - before);
    const measure = `token-service requests for 1,000 tool calls: ${style}`;
    lines.push({
      measure,
      ours,
      reference: '–',
      ratio: undefined,
      target: style.startsWith('ours') ? '100' : 'reported',
    });
  }
  return lines;
}

async function costPer(count: number, work: () => Promise<unknown>): Promise<{ wall: number; cpu: number }> {
  const started = performance.now();
  const cpu = await cpuPer(count, work);
  return { cpu, wall: ((performance.now() - started) * 1_000) / count };
}

/** Checks one signature with a key that was made beforehand; nothing else of the token is looked at. */
async function preparedKey(jwksUri: string): Promise<(token: string) => void> {
  const { keys } = (await (await nodeFetch()(jwksUri)).json()) as { keys: JWK[] };
  const [jwk] = keys;
  if (jwk === undefined) throw new Error('the reference has no key');
  const key = { key: createPublicKey({ key: { ...jwk }, format: 'jwk' }), dsaEncoding: 'ieee-p1363' } as const;
  return (token) => {
    const end = token.lastIndexOf('.');
    const signed = Buffer.from(token.slice(0, end), 'latin1');
    if (!verify('sha256', signed, key, Buffer.from(token.slice(end + 1), 'base64url')))
      throw new Error('the reference was refused');
  };
}

/** What our side sends, field by field. */
async function sameForm(service: RemoteTokenService, subject: SubjectSource): Promise<string> {
  const [{ token, tokenType }, actor] = [await subject.current(), await service.actor.current(service.issuer)];
  return new URLSearchParams({
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    subject_token: token.reveal(),
    subject_token_type: tokenType,
    actor_token: actor.token.reveal(),
    actor_token_type: actor.tokenType,
    resource: TARGET.resource.join(),
    scope: TARGET.scopes.join(' '),
    client_id: 'platform',
    client_secret: 'platform-secret',
  }).toString();
}

/** A form made beforehand, sent over a kept connection, the answer read and parsed; nothing looked into. */
function barePost(url: string, body: string): Promise<{ access_token: string }> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      url,
      { method: 'POST', headers: { 'content-type': 'application/x-www-form-urlencoded' } },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => {
          const answer = JSON.parse(Buffer.concat(chunks).toString('utf8')) as { access_token?: string };
          const { access_token } = answer;
          if (access_token === undefined) reject(new Error('the reference was refused'));
          else resolve({ access_token });
        });
      },
    );
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}
