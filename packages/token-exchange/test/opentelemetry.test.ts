import assert from 'node:assert/strict';
import { test } from 'node:test';
import { combineHooks, type ExchangeOutcome, type Hooks } from '@onbehalf/token-exchange';
import { type MeterLike, openTelemetryHooks, type TracerLike } from '@onbehalf/token-exchange/opentelemetry';
import { assistant, orders, refusedAs, setup } from './setup.ts';

interface Span {
  name: string;
  kind: number;
  startTime: number;
  attributes: Record<string, unknown>;
  status?: { code: number; message?: string };
  endTime?: number;
}

/** Keeps what a back end would get. */
function recorder() {
  const spans: Span[] = [];
  const measured: { name: string; value: number; attributes: Record<string, unknown> }[] = [];
  const tracer: TracerLike = {
    startSpan(name, options) {
      const span: Span = { name, ...options };
      spans.push(span);
      return {
        setStatus: (status) => {
          span.status = status;
        },
        end: (endTime) => {
          span.endTime = endTime;
        },
      };
    },
  };
  const meter: MeterLike = {
    createHistogram: (name) => ({ record: (value, attributes) => measured.push({ name, value, attributes }) }),
    createCounter: (name) => ({ add: (value, attributes) => measured.push({ name, value, attributes }) }),
  };
  return { spans, measured, tracer, meter };
}

test('a span and metrics for what was exchanged, cached and refused; all that is known, and no token', async () => {
  await using s = await setup();
  const { spans, measured, ...telemetry } = recorder();
  const outcomes: ExchangeOutcome[] = [];
  const keep: Hooks = { onOutcome: (one) => void outcomes.push(one), onHit: (one) => void outcomes.push(one) };
  const hooks = combineHooks(
    openTelemetryHooks({ ...telemetry, attributes: { 'onbehalf.profile': 'onbehalf' } }),
    keep,
  );
  const exchange = s.exchange({}, { hooks });
  const subject = await s.service.user('alice', { sid: 'login-1' });
  const call = { subject, target: orders, session: 's1', context: { turn: 't1', callId: 'c1' } };
  const token = await exchange.token(call);
  await exchange.token(call);
  s.service.next((issue) => {
    issue.claims.aud = 'https://elsewhere.example';
  });
  await assert.rejects(exchange.token({ ...call, session: 's2' }), refusedAs('untrusted_response', 'audience'));

  assert.deepEqual(
    spans.map(({ name, attributes }) => [name, attributes['onbehalf.exchange.result']]),
    [
      ['token exchange orders', 'exchanged'],
      ['token exchange orders', 'cached'],
      ['token exchange orders', 'refused'],
    ],
  );
  const [first, , refused] = spans;
  assert.deepEqual(first?.attributes, {
    'onbehalf.profile': 'onbehalf',
    'onbehalf.token_service': 'sts',
    'onbehalf.target': 'orders',
    'onbehalf.exchange.kind': 'exchange',
    'onbehalf.exchange.result': 'exchanged',
    'onbehalf.context.turn': 't1',
    'onbehalf.context.callId': 'c1',
    'onbehalf.requested.audience': [],
    'onbehalf.requested.resource': [...orders.resource],
    'onbehalf.requested.scopes': ['orders.read'],
    'onbehalf.granted.audience': [...orders.resource],
    'onbehalf.granted.scope': 'orders.read',
    'onbehalf.granted.claims': JSON.stringify(token.claims),
    'onbehalf.subject.issuer': subject.principal.issuer,
    'onbehalf.subject.id': 'alice',
    'onbehalf.agent.name': assistant.name,
    'onbehalf.agent.uid': assistant.uid,
    'onbehalf.actors': ['agent:default/assistant'],
    'onbehalf.session': 's1',
    'onbehalf.login_session': 'login-1',
    'onbehalf.exchange.verification': 'signature',
    'onbehalf.exchange.ms': outcomes[0]?.ms,
    'onbehalf.token.jti': token.claims?.jti,
    'onbehalf.token.hash': token.hash,
    'onbehalf.token.expires_at': new Date(token.expiresAt).toISOString(),
  });
  assert.equal(first?.kind, 2);
  assert.ok(Math.abs((first?.endTime ?? 0) - (first?.startTime ?? 0) - (outcomes[0]?.ms ?? -1)) < 0.01);
  assert.deepEqual(refused?.status, { code: 2, message: 'untrusted_response' });
  assert.equal(refused?.attributes['error.type'], 'untrusted_response');
  assert.deepEqual(refused?.attributes['onbehalf.granted.audience'], ['https://elsewhere.example']);

  assert.deepEqual(
    measured.map(({ name, attributes }) => [name.split('.').at(-1), attributes['onbehalf.exchange.result']]),
    [
      ['outcomes', 'exchanged'],
      ['duration', 'exchanged'],
      ['outcomes', 'cached'],
      ['outcomes', 'refused'],
      ['duration', 'refused'],
    ],
  );
  for (const { attributes } of measured)
    assert.equal('onbehalf.subject.id' in attributes, false, 'a person in a metric');

  const everything = JSON.stringify([spans, measured]);
  assert.doesNotMatch(everything, /eyJ|platform-secret/);
  assert.ok(!everything.includes(token.value.reveal()));
  assert.ok(!everything.includes((await subject.current()).token.reveal()));
});

test('every field of an outcome is on the span', async () => {
  await using s = await setup();
  const { spans, measured: _measured, ...telemetry } = recorder();
  let seen: ExchangeOutcome | undefined;
  const hooks = combineHooks(openTelemetryHooks(telemetry), {
    onOutcome: (outcome) => {
      seen = outcome;
    },
  });
  s.service.next({ error: 'invalid_target', description: 'no such target' });
  await assert.rejects(
    s.exchange({}, { hooks }).token({ subject: await s.service.user('alice'), target: orders, session: 's' }),
    refusedAs('invalid_target'),
  );
  const text = JSON.stringify(spans[0]?.attributes);
  assert.ok(seen);
  for (const value of [seen.code, seen.message, seen.serviceError?.error, seen.serviceError?.description, seen.session])
    assert.ok(value !== undefined && text.includes(JSON.stringify(value)), value);
});

test('a back end that fails withholds no token; hits need no span', async () => {
  await using s = await setup();
  const broken = () => {
    throw new Error('the collector is away');
  };
  const subject = await s.service.user('alice');
  const meter: MeterLike = {
    createHistogram: () => ({ record: broken }),
    createCounter: () => ({ add: broken }),
  };
  const failing = s.exchange({}, { hooks: openTelemetryHooks({ tracer: { startSpan: broken }, meter }) });
  await failing.token({ subject, target: orders });
  assert.equal((await failing.token({ subject, target: orders })).cached, true);
  const { spans, tracer } = recorder();
  const quiet = s.exchange({}, { hooks: openTelemetryHooks({ tracer, hits: false }) });
  await quiet.token({ subject, target: orders });
  await quiet.token({ subject, target: orders });
  assert.equal(spans.length, 1);
});

test('combined hooks are asked in order, and the first that refuses withholds the token', async () => {
  await using s = await setup();
  const asked: string[] = [];
  const note = (name: string, refuse = false): Hooks => ({
    beforeExchange: () => {
      asked.push(name);
      if (refuse) throw new Error('no');
    },
  });
  const exchange = s.exchange({}, { hooks: combineHooks(note('a'), note('b', true), note('c')) });
  await assert.rejects(
    exchange.token({ subject: await s.service.user('alice'), target: orders }),
    refusedAs('withheld'),
  );
  assert.deepEqual(asked, ['a', 'b']);
  assert.equal(s.service.counts.token, 0);
});
