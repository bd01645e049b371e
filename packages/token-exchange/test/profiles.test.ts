import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  createTokenExchange,
  type ProfileName,
  type Target,
  TokenExchangeError,
  type TokenExchangeErrorCode,
  type TokenServiceConfig,
} from '@onbehalf/token-exchange';
import {
  dialects,
  type FakePerson,
  type FakeTokenService,
  type IssueAnomaly,
  startFakeTokenService,
} from '@onbehalf/token-exchange/testing';
import { dexSubject } from '../src/profiles/dex.ts';
import { REFUSALS } from './refusals.ts';
import { assistant, client, refusedAs } from './setup.ts';

const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';
const JWT = 'urn:ietf:params:oauth:token-type:jwt';

type Fields = readonly (readonly [name: string, value: string])[];

/** What may be asked for. The audience of each profile stands in its row. */
const REQUESTS = {
  audience: (audience: string) => ({ audience: [audience], resource: [], scopes: [] }),
  'audience and scopes': (audience: string) => ({ audience: [audience], resource: [], scopes: ['two', 'one'] }),
  resource: () => ({ audience: [], resource: ['https://orders.internal/mcp'], scopes: [] }),
  'audience and resource': (audience: string) => ({
    audience: [audience],
    resource: ['https://orders.internal/mcp'],
    scopes: ['one'],
  }),
} satisfies Record<string, (audience: string) => Target>;

type RequestName = keyof typeof REQUESTS;

interface Row {
  readonly audience: string;
  readonly config?: Partial<TokenServiceConfig>;
  readonly person?: FakePerson;
  /** The subject's name in the principal, where it is not the plain one. */
  readonly principal?: string;
  /** What follows the subject and actor tokens in the form; a code where nothing may be sent; or the server's refusal. */
  readonly forms: Readonly<
    Record<RequestName, Fields | TokenExchangeErrorCode | { sent: Fields; code: TokenExchangeErrorCode }>
  >;
  readonly start: Fields;
  /** Deviations that this server's tokens are refused for, beside those that all are. */
  readonly refuses: Partial<Record<IssueAnomaly, string>>;
}

/** Refused whatever the server. */
const ALWAYS: Partial<Record<IssueAnomaly, string>> = {
  wrong_audience: 'audience',
  extra_audience: 'audience',
  no_audience: 'audience',
  other_subject: 'subject',
  no_subject: 'subject',
  expired: 'expired',
  no_exp: 'expired',
  long_lived: 'lifetime',
  wrong_issuer: 'issuer',
  foreign_key: 'signature',
  alg_none: 'signature',
  opaque: 'opaque',
  string_iat: 'claims',
  numeric_jti: 'claims',
  two_subjects: 'json',
  two_audiences: 'json',
  two_types: 'json',
  logout_token: 'typ',
  event_token: 'typ',
  logout_events: 'typ',
  keycloak_refresh: 'typ',
  token_with_space: 'access_token',
  two_access_tokens: 'format',
  N_A: 'token_type',
  no_access_token: 'access_token',
  expires_in_minus_one: 'expires_in',
};

/** Refused by some, good for others. */
const SOMETIMES: readonly IssueAnomaly[] = [
  'other_subject_issuer',
  'other_azp',
  'no_azp',
  'no_act',
  'other_act',
  'id_token',
  'no_issued_token_type',
  'wider_scope',
  'wider_scp',
  'wider_scp_list',
];

const config = 'invalid_request_configuration' as const;
const audience = (value: string) => ['audience', value] as const;
const resource = ['resource', 'https://orders.internal/mcp'] as const;
const scope = (value: string) => ['scope', value] as const;
const standard: Fields = [
  ['grant_type', EXCHANGE],
  ['subject_token', 'SUBJECT'],
  ['subject_token_type', ACCESS_TOKEN],
];
const withActor: Fields = [...standard, ['actor_token', 'ACTOR'], ['actor_token_type', JWT]];
const standardForms: Row['forms'] = {
  audience: [audience('orders')],
  'audience and scopes': [audience('orders'), scope('two one')],
  resource: [resource],
  'audience and resource': [audience('orders'), resource, scope('one')],
};
const named = { no_act: 'actor', other_act: 'actor' };
const wide = { wider_scope: 'scope', wider_scp: 'scope', wider_scp_list: 'scope' };
const strict = { no_issued_token_type: 'issued_token_type' };

const ROWS: Readonly<Record<ProfileName, Row>> = {
  rfc8693: {
    audience: 'orders',
    start: withActor,
    forms: standardForms,
    refuses: { ...named, ...strict, other_azp: 'party', other_subject_issuer: 'subject', ...wide },
  },
  onbehalf: {
    audience: 'orders',
    start: withActor,
    forms: standardForms,
    refuses: {
      ...named,
      ...strict,
      other_azp: 'party',
      other_subject_issuer: 'subject',
      id_token: 'typ',
      ...wide,
    },
  },
  keycloak: {
    audience: 'orders',
    config: { delegation: 'azp' },
    person: { claims: { aud: ['platform'] }, tokenType: JWT },
    start: standard,
    forms: {
      ...standardForms,
      resource: config,
      'audience and resource': config,
    },
    refuses: { ...strict, other_azp: 'party', no_azp: 'party' },
  },
  'entra-obo': {
    audience: 'api://orders',
    principal: 'tenant:alice',
    person: { claims: { aud: ['platform'], tid: 'tenant', oid: 'alice' } },
    start: [
      ['grant_type', 'urn:ietf:params:oauth:grant-type:jwt-bearer'],
      ['requested_token_use', 'on_behalf_of'],
      ['assertion', 'SUBJECT'],
    ],
    forms: {
      audience: config,
      'audience and scopes': [scope('api://orders/.default')],
      resource: config,
      'audience and resource': config,
    },
    refuses: { other_azp: 'party', no_azp: 'party', other_subject_issuer: 'subject' },
  },
  okta: {
    audience: 'orders',
    start: withActor,
    forms: {
      ...standardForms,
      audience: config,
      resource: config,
      'audience and resource': config,
    },
    refuses: { ...named, ...strict, other_azp: 'party', ...wide },
  },
  auth0: {
    audience: 'orders',
    start: withActor,
    forms: {
      ...standardForms,
      resource: { sent: [resource], code: config },
      'audience and resource': { sent: [audience('orders'), resource, scope('one')], code: config },
    },
    refuses: { ...named, ...strict, other_azp: 'party', ...wide },
  },
  zitadel: {
    audience: 'orders',
    start: [...standard, ['requested_token_type', JWT]],
    forms: { ...standardForms, resource: config, 'audience and resource': config },
    refuses: { ...strict, ...wide },
  },
  dex: {
    audience: 'platform',
    config: { connectorId: 'corp' },
    start: [...standard, ['connector_id', 'corp']],
    forms: {
      audience: [],
      'audience and scopes': [scope('two one')],
      resource: config,
      'audience and resource': config,
    },
    refuses: { ...strict, ...wide },
  },
};

interface Bench extends AsyncDisposable {
  readonly service: FakeTokenService;
  ask(name: RequestName): Promise<unknown>;
}

async function benchOf(profile: ProfileName): Promise<Bench> {
  const row = ROWS[profile];
  const service = await startFakeTokenService({ dialect: dialects[profile] });
  const person = await service.user('alice', row.person);
  const subject = { ...person, principal: { ...person.principal, subject: row.principal ?? 'alice' } };
  const exchange = createTokenExchange({
    tokenService: { name: 'sts', issuer: service.issuer, profile, client, ...row.config },
    actor: service.actor(assistant),
    agent: assistant,
    random: () => 0,
  });
  return {
    service,
    ask: (name) => {
      const target = REQUESTS[name](row.audience);
      const asked =
        profile === 'entra-obo' && name === 'audience and scopes' ? ['api://orders/.default'] : target.scopes;
      return exchange.token({ subject, session: crypto.randomUUID(), target: { ...target, scopes: asked } });
    },
    [Symbol.asyncDispose]: () => service.close(),
  };
}

/** Field by field, with the tokens themselves replaced by what they are. */
function sentTo(service: FakeTokenService): Fields {
  const replaced: Record<string, string> = { subject_token: 'SUBJECT', assertion: 'SUBJECT', actor_token: 'ACTOR' };
  return [...(service.requests.at(-1)?.form ?? [])].map(([name, value]) => [name, replaced[name] ?? value]);
}

for (const profile of Object.keys(ROWS) as ProfileName[]) {
  const row = ROWS[profile];
  for (const name of Object.keys(REQUESTS) as RequestName[]) {
    const expected = row.forms[name];
    test(`${profile} × ${name}: the form that arrives, and X6 each anomaly of the answer`, async () => {
      await using bench = await benchOf(profile);
      const { service } = bench;
      if (typeof expected === 'string') {
        await assert.rejects(bench.ask(name), refusedAs(expected));
        return assert.equal(service.counts.token, 0);
      }
      const form = [...row.start, ...('sent' in expected ? expected.sent : expected)];
      if ('sent' in expected) {
        await assert.rejects(bench.ask(name), refusedAs(expected.code));
        return assert.deepEqual(sentTo(service), form);
      }
      await bench.ask(name);
      assert.deepEqual(sentTo(service), form);
      const anomalies = new Set([...(Object.keys(ALWAYS) as IssueAnomaly[]), ...SOMETIMES]);
      for (const anomaly of anomalies) {
        service.next(anomaly);
        const deviation = ALWAYS[anomaly] ?? row.refuses[anomaly];
        const nothingToWiden = anomaly.startsWith('wider_') && REQUESTS[name](row.audience).scopes.length === 0;
        const outcome = await bench.ask(name).then(
          () => 'accepted',
          (error: unknown) => (error instanceof TokenExchangeError ? error.deviation : error),
        );
        assert.equal(outcome, nothingToWiden ? 'accepted' : (deviation ?? 'accepted'), `${anomaly} at ${profile}`);
        assert.deepEqual(sentTo(service), form, anomaly);
      }
    });
  }
}

for (const [profile, what, refusal, code] of REFUSALS) {
  test(`${profile} says no to ${what}: ${code}`, async () => {
    await using bench = await benchOf(profile);
    bench.service.next(refusal);
    await assert.rejects(bench.ask('audience and scopes'), refusedAs(code));
    assert.equal(bench.service.counts.token, 1);
  });
}

test('the fakes refuse what the real servers refuse', async () => {
  const cases: readonly (readonly [ProfileName, Partial<Target>, FakePerson, TokenExchangeErrorCode])[] = [
    ['keycloak', { audience: ['nobody'] }, { claims: { aud: ['platform'] } }, 'invalid_target'],
    ['keycloak', { audience: ['forbidden'] }, { claims: { aud: ['platform'] } }, 'invalid_target'],
    ['keycloak', { audience: ['orders'] }, { claims: { aud: ['another'] } }, 'unauthorized_client'],
    ['keycloak', { audience: ['orders'] }, { claims: { aud: ['platform'], exp: 1 } }, 'subject_rejected'],
    [
      'entra-obo',
      { audience: ['api://x'], scopes: ['api://x/.default'] },
      { claims: { aud: 'other' } },
      'unauthorized_client',
    ],
    ['dex', { audience: ['platform'] }, { claims: { exp: 1 } }, 'subject_rejected'],
  ];
  for (const [profile, target, person, code] of cases) {
    await using service = await startFakeTokenService({ dialect: dialects[profile] });
    const subject = await service.user('alice', person);
    const exchange = createTokenExchange({
      tokenService: { name: 'sts', issuer: service.issuer, profile, client, connectorId: 'corp' },
    });
    const token = exchange.token({ subject, target: { audience: [], resource: [], scopes: [], ...target } });
    await assert.rejects(token, refusedAs(code), `${profile} ${JSON.stringify(target)}`);
  }
});

test('Keycloak without an audience issues a token that is good everywhere: it is never asked so', async () => {
  await using service = await startFakeTokenService({ dialect: dialects.keycloak });
  const subject = await service.user('alice', { claims: { aud: ['platform'] } });
  const target = { audience: [], resource: ['orders:x'], scopes: [] };
  const tokenService = { name: 'sts', issuer: service.issuer, client };
  const naive = createTokenExchange({ tokenService: { ...tokenService, profile: 'rfc8693', delegation: 'none' } });
  await assert.rejects(naive.token({ subject, target }), refusedAs('untrusted_response', 'audience'));
  const exchange = createTokenExchange({ tokenService: { ...tokenService, profile: 'keycloak' } });
  await assert.rejects(exchange.token({ subject, target }), refusedAs('invalid_request_configuration'));
  assert.equal(exchange.delegation, 'none');
});

test("Auth0: the token types of the tenant's own exchange profile", async () => {
  await using service = await startFakeTokenService({ dialect: dialects.auth0 });
  const types = { subjectTokenType: 'urn:acme:user', actorTokenType: 'urn:acme:agent' };
  const tokenService = { name: 'sts', issuer: service.issuer, profile: 'auth0' as const, client, ...types };
  const exchange = createTokenExchange({ tokenService, actor: service.actor(assistant), agent: assistant });
  await exchange.token({ subject: await service.user('alice'), target: REQUESTS.audience('orders') });
  const form = service.requests[0]?.form;
  assert.deepEqual([form?.get('subject_token_type'), form?.get('actor_token_type')], Object.values(types));
});

test('Auth0 and the embedded service name five agents at most; Dex needs its connector', async () => {
  await using service = await startFakeTokenService();
  const subject = await service.user('alice');
  for (const profile of ['auth0', 'onbehalf'] as const) {
    const actor = service.actor({ ...assistant, chain: ['a', 'b', 'c', 'd', 'e'] });
    const exchange = createTokenExchange({
      tokenService: { name: 'sts', issuer: service.issuer, profile, client },
      actor,
      agent: assistant,
    });
    const token = exchange.token({ subject, target: { audience: ['orders'], resource: [], scopes: [] } });
    await assert.rejects(token, refusedAs('invalid_request_configuration'));
  }
  assert.equal(service.counts.token, 0);
  assert.throws(
    () => createTokenExchange({ tokenService: { name: 'sts', issuer: service.issuer, profile: 'dex', client } }),
    refusedAs('invalid_request_configuration'),
  );
  assert.equal(dexSubject('2342749', 'github'), 'CgcyMzQyNzQ5EgZnaXRodWI');
});

test('a profile that is not known is refused when it is configured, and those that are known are named', () => {
  for (const profile of ['keyclock', '__proto__', '', 'KEYCLOAK'])
    assert.throws(
      () =>
        createTokenExchange({
          tokenService: { name: 's', issuer: 'https://sts.example', client, profile: profile as ProfileName },
        }),
      (error) => refusedAs('invalid_request_configuration')(error) && /rfc8693, onbehalf, keycloak/.test(String(error)),
    );
});
