import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { createTokenCache, createTokenExchange, SecretValue } from '@onbehalf/token-exchange';
import { nodeCrypto } from '@onbehalf/token-exchange/node';
import type { Line } from './measure.ts';

const ISSUER = 'https://sts.example';
const TARGETS = Array.from({ length: 5 }, (_, at) => ({
  name: `default/server-${at}`,
  audience: [],
  resource: [`https://server-${at}.internal/mcp`],
  scopes: ['read', 'write'],
}));

/** What the cache holds for each (user, target), and that it does not grow beyond its bound. */
export async function benchExchangeMemory(): Promise<Line[]> {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const heap = () => {
    collect();
    collect();
    return process.memoryUsage().heapUsed / 1_024;
  };
  const fill = async (exchange: ReturnType<typeof at>, from: number, people: number) => {
    for (let person = from; person < from + people; person++) {
      const subject = subjectOf(person);
      for (const target of TARGETS) await exchange.token({ subject, target, session: `session-${person}` });
    }
  };
  const all = at(10_000);
  await fill(all, 0, 20);
  const before = heap();
  await fill(all, 20, 1_980);
  const each = (heap() - before) / 9_900;
  const cached = all.stats.cached;

  const bounded = at(8_192);
  await fill(bounded, 0, 2_000);
  const full = heap();
  await fill(bounded, 2_000, 8_000);
  const after = heap();
  const { cached: kept } = bounded.stats;
  return [
    {
      measure: `memory of ${cached.toLocaleString('en')} cached (user, target) pairs, heap for each`,
      ours: `${each.toFixed(2)} KB`,
      reference: '–',
      ratio: undefined,
      target: 'reported',
    },
    {
      measure: `50,000 pairs through a cache of 8,192 (${kept.toLocaleString('en')} kept), heap after it was full`,
      ours: `${(after - full) / full > 0 ? '+' : ''}${(((after - full) / full) * 100).toFixed(1)} %`,
      reference: `${(full / 1_024).toFixed(1)} MB when full`,
      ratio: after / full,
      target: '≤ 1.05',
    },
  ];
}

/** No network and no signatures: what is measured is what stays. The tokens are as long as signed ones. */
function at(max: number) {
  return createTokenExchange({
    tokenService: {
      name: 'bench',
      issuer: ISSUER,
      endpoint: `${ISSUER}/token`,
      jwksUri: `${ISSUER}/jwks`,
      profile: 'rfc8693',
      delegation: 'none',
      client: { auth: 'SecretPost', id: 'platform', keyId: '1', secret: SecretValue.of('platform-secret') },
    },
    agent: { uid: 'agent-1', name: 'default/assistant' },
    cache: createTokenCache({ max }),
    fetch: async (_url, init) => issue(new URLSearchParams(String(init?.body))),
    crypto: {
      ...nodeCrypto,
      verify: async (jws) => ({ payload: Buffer.from(jws.split('.')[1] ?? '', 'base64url'), protectedHeader: {} }),
    },
  });
}

function issue(form: URLSearchParams): Response {
  const iat = Math.floor(Date.now() / 1_000);
  const claims = {
    iss: ISSUER,
    sub: subOf(form.get('subject_token') ?? ''),
    aud: form.get('resource'),
    azp: 'platform',
    client_id: 'platform',
    scope: form.get('scope'),
    iat,
    exp: iat + 300,
    jti: crypto.randomUUID(),
  };
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signature = Buffer.alloc(64, claims.jti).toString('base64url');
  return Response.json({
    access_token: `${part({ alg: 'ES256', kid: 'key-1', typ: 'at+jwt' })}.${part(claims)}.${signature}`,
    issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    token_type: 'Bearer',
    expires_in: 300,
    scope: claims.scope,
  });
}

const subOf = (token: string) => token.slice(token.indexOf('person-')).trimEnd();

function subjectOf(person: number) {
  const token = SecretValue.of(`${'x'.repeat(600)}person-${person}`);
  const tokenType = 'urn:ietf:params:oauth:token-type:access_token';
  const expiresAt = Date.now() + 3_600_000;
  const principal = { issuer: ISSUER, subject: `person-${person}` };
  return { principal, refreshable: false, current: async () => ({ token, tokenType, expiresAt }) };
}
