import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { SecretValue } from '@onbehalf/secret-value';
import { ACT_BY, TokenExchangeError, type TokenExchangeErrorCode } from '@onbehalf/token-exchange';
import { retryDelay } from '../src/backoff.ts';
import { Breaker } from '../src/breaker.ts';
import { client, leave, manualClock, orders, refusedAs, setup } from './setup.ts';

const ERRORS: readonly (readonly [error: string, status: number, code: TokenExchangeErrorCode])[] = [
  ['invalid_target', 400, 'invalid_target'],
  ['invalid_scope', 400, 'invalid_scope'],
  ['invalid_client', 401, 'invalid_client'],
  ['unauthorized_client', 400, 'unauthorized_client'],
  ['access_denied', 403, 'unauthorized_client'],
  ['unsupported_grant_type', 400, 'unauthorized_client'],
  ['invalid_request', 400, 'subject_rejected'],
  ['invalid_grant', 400, 'subject_rejected'],
  ['interaction_required', 400, 'interaction_required'],
  ['something_new', 400, 'untrusted_response'],
  ['something_new', 401, 'invalid_client'],
  ['something_new', 404, 'invalid_request_configuration'],
];

for (const [error, status, code] of ERRORS) {
  test(`${status} ${error} is ${code}: for the ${ACT_BY[code]}, and not asked again`, async () => {
    await using s = await setup();
    const subject = await s.service.user('alice');
    s.service.next({ error, status, description: 'because of the token', claims: '{"id_token":{}}' });
    const failed = s.exchange().token({ subject, target: orders });
    await assert.rejects(failed, (thrown) => {
      assert.ok(thrown instanceof TokenExchangeError);
      assert.deepEqual([thrown.code, thrown.actBy], [code, ACT_BY[code]]);
      assert.deepEqual(thrown.serviceError, { status, error, description: 'because of the token' });
      assert.equal(thrown.claimsChallenge, code === 'interaction_required' ? '{"id_token":{}}' : undefined);
      return true;
    });
    assert.equal(s.service.counts.token, 1);
  });
}

test('invalid_request is for the person only where it names the token, or nothing: an administrator’s mistake is none that signing in mends', async () => {
  const said: [string | undefined, TokenExchangeErrorCode][] = [
    [undefined, 'subject_rejected'],
    ['Invalid token', 'subject_rejected'],
    ['subject_token has expired', 'subject_rejected'],
    ['Session not active', 'subject_rejected'],
    ['User disabled', 'subject_rejected'],
    ['DPoP proof is missing', 'invalid_request_configuration'],
    ['requested_token_type unsupported', 'invalid_request_configuration'],
    ['Invalid token type', 'invalid_request_configuration'],
    ['Missing parameter: audience', 'invalid_request_configuration'],
    ['actor token is not valid', 'invalid_request_configuration'],
    ['no', 'invalid_request_configuration'],
  ];
  await using s = await setup();
  const subject = await s.service.user('alice');
  for (const [description, code] of said) {
    s.service.next({ error: 'invalid_request', ...(description !== undefined && { description }) });
    await assert.rejects(s.exchange().token({ subject, target: orders }), refusedAs(code), description);
  }
});

test('a failure is not cached', async () => {
  await using s = await setup();
  const exchange = s.exchange();
  const subject = await s.service.user('alice');
  s.service.next({ error: 'invalid_target' });
  await assert.rejects(exchange.token({ subject, target: orders }), refusedAs('invalid_target'));
  assert.equal((await exchange.token({ subject, target: orders })).cached, false);
});

test('X10 the service is down: a typed error, and three tries at most', async () => {
  await using s = await setup();
  const subject = await s.service.user('alice');
  const exchange = s.exchange();
  await exchange.token({ subject, target: leave });
  s.service.always('cut');
  await assert.rejects(exchange.token({ subject, target: orders }), refusedAs('sts_unavailable'));
  assert.equal(s.service.counts.token, 4);
  await s.service.close();
  await assert.rejects(exchange.token({ subject, session: 'b', target: orders }), refusedAs('sts_unavailable'));
});

for (const anomaly of ['status_500', 'status_503', 'status_429', 'cut'] as const) {
  test(`${anomaly} passes: the next try succeeds`, async () => {
    await using s = await setup();
    const subject = await s.service.user('alice');
    s.service.next(anomaly, anomaly);
    const exchange = s.exchange();
    assert.equal((await exchange.token({ subject, target: orders })).claims?.sub, 'alice');
    assert.deepEqual([s.service.counts.token, exchange.stats.retries, exchange.stats.requests], [3, 2, 3]);
  });
}

test('Retry-After is honoured: a long one fails at once, and nobody asks until it is over', async () => {
  await using s = await setup();
  const subject = await s.service.user('alice');
  const clock = manualClock();
  const exchange = s.exchange({}, { monotonic: clock.monotonic });
  s.service.next({ error: 'slow_down', status: 429, headers: { 'retry-after': '30' } });
  await assert.rejects(exchange.token({ subject, target: orders }), { code: 'sts_unavailable', retryAfter: 30_000 });
  await assert.rejects(exchange.token({ subject, target: leave }), refusedAs('sts_unavailable'));
  assert.equal(s.service.counts.token, 1);
  clock.advance(30_001);
  await exchange.token({ subject, target: orders });
});

test('a service that hangs: sts_timeout for one try, and for all of them', async () => {
  await using s = await setup();
  const subject = await s.service.user('alice');
  s.service.always('hang');
  const brief = s.exchange({}, { timeouts: { attempt: 40, total: 10_000 } });
  await assert.rejects(brief.token({ subject, target: orders }), refusedAs('sts_timeout'));
  assert.equal(s.service.counts.token, 3);
  const inAll = s.exchange({}, { timeouts: { attempt: 5000, total: 60 } });
  await assert.rejects(inAll.token({ subject, target: orders }), refusedAs('sts_timeout'));
  assert.equal(s.service.counts.token, 4);
});

test('the breaker opens at five failures in a row, and lets one probe through after 5 s', async () => {
  await using s = await setup();
  const clock = manualClock();
  const exchange = s.exchange({}, { monotonic: clock.monotonic });
  const subject = await s.service.user('alice');
  await exchange.token({ subject, session: 'warm', target: orders });
  s.service.always('status_500');
  const ask = (session: string) => exchange.token({ subject, session, target: orders });
  for (let at = 0; at < 20; at += 1) await assert.rejects(ask(`down-${at}`), refusedAs('sts_unavailable'));
  assert.equal(s.service.counts.token, 1 + 5);
  assert.equal(exchange.stats.breaker, 'open');
  assert.equal((await ask('warm')).cached, true, 'what is cached is still good');
  clock.advance(5001);
  await Promise.allSettled(Array.from({ length: 10 }, (_, at) => ask(`probe-${at}`)));
  assert.equal(s.service.counts.token, 1 + 5 + 1);
  clock.advance(5001);
  s.service.always(undefined);
  await ask('up');
  assert.equal(exchange.stats.breaker, 'closed');
});

test('the token service never sees more than 1.2 times the requests, beyond the first few retries', async () => {
  await using s = await setup();
  const clock = manualClock();
  const exchange = s.exchange({}, { monotonic: clock.monotonic });
  const subject = await s.service.user('alice');
  for (let at = 0; at < 100; at += 1) {
    s.service.next('status_500', undefined);
    await exchange.token({ subject, session: String(at), target: orders }).catch(() => {});
    if (exchange.stats.requests % 2 === 1) await exchange.token({ subject, session: `${at} again`, target: orders });
    clock.advance(20_000);
  }
  const { requests, retries } = exchange.stats;
  assert.ok(retries > 4 && retries <= (requests - retries) * 0.2 + 4, `${retries} retries in ${requests} requests`);
});

test('half of 20 failures within 10 s open the breaker as well, and an old failure does not count', () => {
  let time = 0;
  const breaker = new Breaker(() => time);
  const alternate = (times: number) => {
    for (let at = 0; at < times; at += 1) at % 2 === 0 ? breaker.success() : breaker.failure();
  };
  alternate(18);
  time += 10_001;
  alternate(18);
  assert.equal(breaker.open, false);
  alternate(2);
  assert.equal(breaker.open, true);
  assert.equal(breaker.admit(), 5_000);
});

test('a delay is random, between nothing and a bound that doubles up to 5 s', () => {
  assert.deepEqual(
    [1, 2, 3, 10].map((tries) => retryDelay(tries, () => 1)),
    [200, 400, 800, 5000],
  );
  assert.equal(
    retryDelay(3, () => 0),
    0,
  );
});

test('while the metadata cannot be fetched again, the last that was verified is used', async () => {
  await using s = await setup();
  const clock = manualClock();
  let down = false;
  const fetcher: typeof fetch = async (input, init) => {
    if (down && String(input).includes('well-known')) throw new TypeError('no network');
    return fetch(input, init);
  };
  const exchange = s.exchange({}, { monotonic: clock.monotonic, fetch: fetcher });
  const subject = await s.service.user('alice');
  await exchange.token({ subject, session: 'a', target: orders });
  down = true;
  clock.advance(11 * 60_000);
  assert.equal((await exchange.token({ subject, session: 'b', target: orders })).cached, false);
});

test('nothing that is thrown or heard shows a token, a secret or an assertion', async () => {
  const canary = 'canary-4711-secret';
  await using s = await setup({ clients: [{ id: 'platform', secret: canary }] });
  const exchange = s.exchange({ client: { ...client, auth: 'SecretPost', secret: SecretValue.of(canary) } });
  const subject = await s.service.user('alice');
  const { token } = await subject.current();
  const seen: string[] = [];
  for (const anomaly of [
    'cut',
    'html',
    'huge',
    { error: 'invalid_request', description: `${canary} ${token.reveal()}` },
    { error: canary, description: 'in the code' },
    { error: `bad ${token.reveal()}` },
    { error: token.reveal().slice(0, 90) },
    { error: 'interaction_required', claims: `{"id_token":{"${canary}":null}}` },
    { error: 'interaction_required', claims: `{"id_token":{"x":"${token.reveal()}"}}` },
  ] as const) {
    s.service.always(anomaly);
    const error: unknown = await exchange.token({ subject, target: orders }).catch((thrown: unknown) => thrown);
    assert.ok(error instanceof TokenExchangeError);
    seen.push(inspect(error, { depth: 9, showHidden: true }), JSON.stringify(error), String(error.stack));
  }
  seen.push(inspect(s.outcomes, { depth: 9, showHidden: true }), JSON.stringify(s.outcomes));
  for (const text of seen) {
    assert.ok(!text.includes(canary), text);
    assert.ok(!text.includes(token.reveal().slice(0, 40)), text);
  }
});

test('an opaque token is scrubbed from code and description alike: whole, cut off, and percent-encoded', async () => {
  await using s = await setup();
  const alice = await s.service.user('alice');
  const token = 'Zm9v+YmFy/opaque~subject.of-alice==';
  const subject = {
    ...alice,
    current: async () => ({ ...(await alice.current()), token: SecretValue.of(token) }),
  };
  for (const echo of [token, token.slice(0, 20), encodeURIComponent(token), `Bearer ${token}`, `${token},${token}`]) {
    s.service.next({ error: `no ${echo}`, description: `the token ${echo} is not known` });
    const error: unknown = await s
      .exchange()
      .token({ subject, target: orders })
      .catch((thrown: unknown) => thrown);
    assert.ok(error instanceof TokenExchangeError);
    const text = inspect(error, { depth: 9 }) + inspect(s.outcomes, { depth: 9 });
    assert.ok(!/Zm9v|opaque~subject|of-alice/.test(text), text);
    assert.match(error.serviceError?.error ?? '', /^no .*\[secret\]/);
    assert.match(error.serviceError?.description ?? '', /^the token .*\[secret\].* is not known$/);
  }
});

test('hooks: the token is withheld when one refuses, and nothing is sent when the first does', async () => {
  await using s = await setup();
  const subject = await s.service.user('alice');
  const full = () => Promise.reject(new Error('the disk is full'));
  const before = s.exchange({}, { hooks: { beforeExchange: full } });
  await assert.rejects(before.token({ subject, target: orders }), refusedAs('withheld'));
  assert.equal(s.service.counts.token, 0);
  const after = s.exchange({}, { hooks: { onOutcome: full } });
  await assert.rejects(after.token({ subject, target: orders }), refusedAs('withheld'));
  assert.equal(after.stats.cached, 0);
  const onHit = s.exchange(
    {},
    {
      hooks: {
        onHit: () => {
          throw new Error('no');
        },
      },
    },
  );
  await onHit.token({ subject, target: orders });
  await assert.rejects(onHit.token({ subject, target: orders }), refusedAs('withheld'));
});

test('every code says who must act', () => {
  assert.deepEqual(new Set(Object.values(ACT_BY)), new Set(['administrator', 'user', 'tokenService']));
});
