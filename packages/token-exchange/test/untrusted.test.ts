import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { SecretValue, TokenExchangeError, type TokenServiceConfig } from '@onbehalf/token-exchange';
import type { Anomaly } from '@onbehalf/token-exchange/testing';
import { assistant, client, manualClock, orders, refusedAs, setup } from './setup.ts';

const JWT = 'urn:ietf:params:oauth:token-type:jwt';
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';

/** Each answer is wrong in one way; the middle column is the check that must notice. */
const WRONG: readonly (readonly [Anomaly, deviation: string, Partial<TokenServiceConfig>?])[] = [
  ['wrong_audience', 'audience'],
  ['extra_audience', 'audience'],
  ['no_audience', 'audience'],
  ['nested_audience', 'claims'],
  ['other_subject', 'subject'],
  ['other_subject', 'subject', { profile: 'rfc8693' }],
  ['other_subject_issuer', 'subject'],
  ['other_subject_issuer', 'subject', { profile: 'rfc8693' }],
  ['no_subject', 'subject'],
  ['other_azp', 'party'],
  ['other_azp', 'party', { profile: 'rfc8693', delegation: 'azp' }],
  ['no_azp', 'party', { profile: 'rfc8693', delegation: 'azp' }],
  ['no_act', 'actor'],
  ['other_act', 'actor'],
  ['other_act_issuer', 'actor'],
  ['other_agent_uid', 'actor'],
  ['expired', 'expired'],
  ['no_exp', 'expired'],
  ['string_exp', 'claims'],
  ['string_iat', 'claims'],
  ['string_nbf', 'claims'],
  ['endless_exp', 'claims'],
  ['numeric_subject', 'claims'],
  ['numeric_jti', 'claims'],
  ['object_scope', 'claims'],
  ['act_without_sub', 'claims'],
  ['long_lived', 'lifetime'],
  ['not_yet', 'not_yet'],
  ['wider_scope', 'scope'],
  ['wider_scp', 'scope'],
  ['wider_scp_list', 'scope'],
  ['two_subjects', 'json'],
  ['two_subjects_escaped', 'json'],
  ['two_audiences', 'json'],
  ['two_actors_inside', 'json'],
  ['two_types', 'json'],
  ['logout_token', 'typ', { profile: 'rfc8693' }],
  ['introspection_token', 'typ', { profile: 'rfc8693' }],
  ['event_token', 'typ', { profile: 'rfc8693' }],
  ['logout_events', 'typ', { profile: 'rfc8693' }],
  ['keycloak_refresh', 'typ', { profile: 'rfc8693' }],
  ['keycloak_id', 'typ', { profile: 'rfc8693' }],
  ['wrong_issuer', 'issuer'],
  ['id_token', 'typ'],
  ['foreign_key', 'signature'],
  ['alg_none', 'signature'],
  ['opaque', 'opaque'],
];

for (const [anomaly, deviation, config] of WRONG) {
  const where = config ? ` (${Object.values(config).join(', ')})` : '';
  test(`X6 a token with ${anomaly} is refused${where}, never handed out, and heard of`, async () => {
    await using s = await setup();
    const exchange = s.exchange(config);
    const subject = await s.service.user('alice');
    s.service.next(anomaly as Anomaly);
    await assert.rejects(exchange.token({ subject, target: orders }), refusedAs('untrusted_response', deviation));
    assert.equal(s.service.counts.token, 1, 'a wrong answer is no reason to ask again');
    assert.equal(exchange.stats.cached, 0);
    assert.deepEqual(
      s.outcomes.map(({ result, code }) => [result, code]),
      [['refused', 'untrusted_response']],
    );
    assert.equal((await exchange.token({ subject, target: orders })).cached, false);
  });
}

test('X6 the refusal tells the audit whom and what the token was for', async () => {
  await using s = await setup();
  const subject = await s.service.user('alice');
  s.service.next('extra_audience');
  await assert.rejects(s.exchange().token({ subject, target: orders }), TokenExchangeError);
  const [outcome] = s.outcomes;
  assert.deepEqual(outcome?.granted?.audience, ['https://orders.internal/mcp', 'https://other.example/mcp']);
  assert.equal(outcome?.granted?.claims?.sub, 'alice');
  assert.deepEqual(outcome?.actors, ['agent:default/assistant']);
  assert.match(outcome?.hash ?? '', /^[\w-]{43}$/);
  assert.ok(outcome?.jti);
});

test('X6 an extra audience passes only where the target names it', async () => {
  await using s = await setup();
  const exchange = s.exchange();
  const subject = await s.service.user('alice');
  s.service.always('extra_audience');
  const named = { ...orders, allowExtraAudiences: ['https://other.example/mcp'] };
  const token = await exchange.token({ subject, target: named });
  assert.deepEqual(token.claims?.aud, ['https://orders.internal/mcp', 'https://other.example/mcp']);
  s.service.always('wrong_audience');
  await assert.rejects(
    exchange.token({ subject, session: 'other', target: named }),
    refusedAs('untrusted_response', 'audience'),
  );
});

for (const [anomaly, deviation] of [
  ['html_200', 'format'],
  ['not_json', 'format'],
  ['array', 'format'],
  ['bad_number', 'format'],
  ['huge', 'size'],
  ['endless', 'size'],
  ['no_access_token', 'access_token'],
  ['token_with_space', 'access_token'],
  ['token_with_comma', 'access_token'],
  ['token_with_quote', 'access_token'],
  ['token_with_padding_inside', 'access_token'],
  ['two_access_tokens', 'format'],
  ['no_issued_token_type', 'issued_token_type'],
  ['refresh_token_type', 'issued_token_type'],
  ['N_A', 'token_type'],
  ['no_token_type', 'token_type'],
  ['expires_in_minus_one', 'expires_in'],
  ['expires_in_zero', 'expires_in'],
] as const) {
  test(`X8 ${anomaly} is a typed error`, async () => {
    await using s = await setup();
    const subject = await s.service.user('alice');
    s.service.next(anomaly);
    const started = performance.now();
    await assert.rejects(s.exchange().token({ subject, target: orders }), refusedAs('untrusted_response', deviation));
    assert.ok(performance.now() - started < 2000);
    assert.equal(s.service.counts.token, 1);
  });
}

for (const [anomaly, opaque, seconds] of [
  ['expires_in_absurd', true, 300],
  ['expires_in_absurd', false, 300],
  ['expires_in_string', true, 60],
  ['no_expires_in', true, 60],
  ['no_expires_in', false, 300],
] as const) {
  test(`X8 ${anomaly} on ${opaque ? 'an opaque token' : 'a JWT'} lives ${seconds} s at most`, async () => {
    await using s = await setup();
    const clock = manualClock();
    const exchange = s.exchange({ opaque: 'Accept' }, { monotonic: clock.monotonic });
    const subject = await s.service.user('alice');
    s.service.next((issue) => {
      if (opaque) issue.signedBy = 'opaque';
      if (anomaly === 'expires_in_absurd') issue.body.expires_in = 1e12;
      else if (anomaly === 'expires_in_string') issue.body.expires_in = '86400';
      else delete issue.body.expires_in;
    });
    const token = await exchange.token({ subject, target: orders });
    assert.ok(token.expiresAt > Date.now() && token.expiresAt <= Date.now() + seconds * 1000);
    clock.advance((seconds - 15) * 1000 - 1500);
    assert.equal((await exchange.token({ subject, target: orders })).cached, true);
    clock.advance(1600);
    assert.equal((await exchange.token({ subject, target: orders })).cached, false);
  });
}

test('X7 a redirect of the token service is not followed, and nothing is replayed', async () => {
  for (const anomaly of ['redirect_307', 'redirect_302'] as const) {
    await using s = await setup();
    const subject = await s.service.user('alice');
    s.service.next(anomaly);
    await assert.rejects(s.exchange().token({ subject, target: orders }), refusedAs('untrusted_response', 'redirect'));
    assert.equal(s.service.counts.elsewhere, 0);
    assert.equal(s.service.counts.token, 1);
  }
});

test('refresh and ID tokens in the answer are dropped, and Bearer is compared without case', async () => {
  await using s = await setup();
  const exchange = s.exchange();
  const subject = await s.service.user('alice');
  s.service.next('extra_tokens', 'upper_case_bearer');
  const token = await exchange.token({ subject, target: orders });
  assert.ok(!inspect(token, { depth: 9, showHidden: true }).includes('a-refresh-token'));
  assert.equal((await exchange.token({ subject, session: 'other', target: orders })).type, token.type);
});

test('an opaque token is introspected where that is set, and the same checks decide', async () => {
  await using s = await setup();
  const exchange = s.exchange({ introspect: true });
  const subject = await s.service.user('alice');
  s.service.always('opaque');
  const token = await exchange.token({ subject, target: orders });
  assert.equal(token.verification, 'introspection');
  assert.equal(token.claims?.sub, 'alice');
  assert.equal(s.service.counts.introspection, 1);
  s.service.always((issue) => {
    issue.signedBy = 'opaque';
    issue.claims.aud = 'https://other.example/mcp';
  });
  const call = { subject, session: 'other', target: orders };
  await assert.rejects(exchange.token(call), refusedAs('untrusted_response', 'audience'));
});

test('an opaque token that is accepted unseen says so', async () => {
  await using s = await setup();
  const subject = await s.service.user('alice');
  s.service.always('opaque');
  const token = await s.exchange({ opaque: 'Accept' }).token({ subject, target: orders });
  assert.deepEqual([token.verification, token.claims], ['none', undefined]);
  assert.equal(s.outcomes[0]?.verification, 'none');
  s.service.always('alg_none');
  await assert.rejects(
    s.exchange({ opaque: 'Accept' }).token({ subject, target: orders }),
    refusedAs('untrusted_response', 'signature'),
  );
});

for (const opaque of ['Accept', 'introspect'] as const) {
  test(`X6 X10 the subject or actor token handed back is refused (${opaque}), never kept, and revoked nowhere`, async () => {
    await using s = await setup();
    const config = opaque === 'Accept' ? { opaque } : { introspect: true };
    const [alice, bob] = [await s.service.user('alice'), await s.service.user('bob')];
    const fixed = (await s.service.actor(assistant).current(s.service.issuer)).token;
    const actor = { ...s.service.actor(assistant), current: async () => ({ token: fixed, tokenType: JWT }) };
    const exchange = s.exchange(config, { actor });
    const own = SecretValue.of('0paque.subject~token/of+alice==');
    const opaqueAlice = { ...alice, current: async () => ({ ...(await alice.current()), token: own }) };
    const revealed = (await alice.current()).token.reveal();
    const handed = [revealed, `${revealed}=`, fixed.reveal(), `x${fixed.reveal()}`];
    for (const token of handed) {
      s.service.next((issue) => Object.assign(issue.body, { access_token: token }));
      const asked = exchange.token({ subject: alice, target: orders });
      await assert.rejects(asked, refusedAs('untrusted_response', 'handed_back'));
    }
    // The fake reads JWTs alone, so this answer is put in its place.
    const answer = { issued_token_type: ACCESS_TOKEN, token_type: 'Bearer', access_token: own.reveal() };
    const canned: typeof fetch = async (url, init) =>
      String(url) === s.service.endpoint ? Response.json(answer) : fetch(url, init);
    const asked = s.exchange(config, { actor, fetch: canned }).token({ subject: opaqueAlice, target: orders });
    await assert.rejects(asked, refusedAs('untrusted_response', 'handed_back'));
    assert.equal(exchange.stats.cached, 0);
    assert.equal(exchange.forget({ all: true }), 0);
    assert.deepEqual([s.service.revocations.length, s.service.counts.introspection], [0, 0]);
    assert.ok(s.outcomes.every(({ result, hash }) => result === 'refused' && hash === undefined));
    assert.equal((await exchange.token({ subject: bob, target: orders })).claims?.sub, 'bob');
  });
}

test('an answer that holds the client secret as its token is refused; one that has a short secret in it by chance is not', async () => {
  await using s = await setup({ clients: [{ id: 'platform', secret: 'a' }] });
  const exchange = s.exchange({ opaque: 'Accept', client: { ...client, secret: SecretValue.of('a') } });
  const subject = await s.service.user('alice');
  s.service.next((issue) => Object.assign(issue.body, { access_token: 'a' }));
  await assert.rejects(exchange.token({ subject, target: orders }), refusedAs('untrusted_response', 'handed_back'));
  s.service.next((issue) => Object.assign(issue.body, { access_token: 'banana' }));
  assert.equal((await exchange.token({ subject, target: orders })).value.reveal(), 'banana');
});

test('an introspection answer with two subjects, a text where a time belongs, or of another kind, is refused', async () => {
  for (const [claims, deviation] of [
    ['"sub":"mallory","sub":"alice"', 'inactive'],
    ['"sub":"alice","iat":"1"', 'claims'],
    ['"sub":"alice","typ":"Refresh"', 'typ'],
  ] as const) {
    await using s = await setup();
    const body = `{"active":true,"aud":"${orders.resource[0]}",${claims}}`;
    const canned: typeof fetch = async (url, init) =>
      String(url).endsWith('/introspect')
        ? new Response(body, { headers: { 'content-type': 'application/json' } })
        : fetch(url, init);
    const exchange = s.exchange({ introspect: true }, { fetch: canned });
    s.service.always('opaque');
    const asked = exchange.token({ subject: await s.service.user('alice'), target: orders });
    await assert.rejects(asked, refusedAs('untrusted_response', deviation));
  }
});

test('a rotation is followed at once, but not every unknown kid fetches the keys', async () => {
  await using s = await setup();
  let time = 0;
  const exchange = s.exchange({}, { monotonic: () => time });
  const subject = await s.service.user('alice');
  const ask = (session: string) => exchange.token({ subject, session, target: orders });
  await ask('before');
  await s.service.rotateKeys();
  await Promise.all(Array.from({ length: 20 }, (_, at) => ask(`after-${at}`)));
  assert.equal(s.service.counts.jwks, 2);
  const misled = async (count: number) => {
    for (let at = 0; at < count; at += 1) {
      s.service.next((issue) => {
        issue.kid = `random-${time}-${at}`;
      });
      await assert.rejects(ask(`misled-${time}-${at}`), refusedAs('untrusted_response', 'signature'));
    }
  };
  await misled(20);
  assert.equal(s.service.counts.jwks, 4);
  assert.equal((await ask('then')).claims?.sub, 'alice');
  time += 30_001;
  await misled(20);
  assert.equal(s.service.counts.jwks, 7);
});

test('a token that ends within the margin is handed out, but not kept', async () => {
  await using s = await setup({ lifetime: 14 });
  const exchange = s.exchange();
  const subject = await s.service.user('alice');
  assert.equal((await exchange.token({ subject, target: orders })).cached, false);
  assert.equal(exchange.stats.cached, 0);
});
