import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AuditError, type Half } from '../../src/audit/index.ts';
import { auditFixture } from './fixture.ts';

const alice = { issuer: 'https://one.example', subject: '42' };
const bob = { issuer: 'https://two.example', subject: '42' };
const call = (principal: typeof alice, turn: string): Half => ({ type: 'tool.call', principal, turn });

test('a turn is traced from decision to tool call, intent before outcome, across processes', async () => {
  let time = Date.parse('2026-01-01T00:00:00.000Z');
  await using fixture = await auditFixture({ now: () => time });
  const { audit } = fixture;
  await audit.append({ type: 'decision', phase: 'single', principal: alice, turn: 't1', outcome: 'allow' });
  const ref = await audit.intent(call(alice, 't1'));
  await audit.append({ type: 'decision', phase: 'single', principal: bob, turn: 't2', outcome: 'deny' });
  time += 1_000;
  await fixture.restart();
  await fixture.audit.outcome(ref, { ...call(alice, 't1'), outcome: 'ok', latencyMs: 12 });
  const trace = await fixture.audit.trace('t1');
  assert.deepEqual(
    trace.map(({ entry }) => [entry.type, entry.phase, entry.ref, entry.outcome]),
    [
      ['decision', 'single', undefined, 'allow'],
      ['tool.call', 'intent', ref, undefined],
      ['tool.call', 'outcome', ref, 'ok'],
    ],
  );
});

test('P2 lines are found by issuer and subject together, and by every other index', async () => {
  await using fixture = await auditFixture();
  const { audit } = fixture;
  const agent = { uid: 'u1', namespace: 'default', name: 'assistant', generation: 3 };
  await audit.append({
    type: 'tool.call',
    phase: 'single',
    principal: { ...alice, jti: 'j1' },
    agent,
    target: { server: 'default/orders' },
    session: 's1',
    turn: 't1',
    requestId: 'r1',
    records: ['4711', '4712'],
    token: { jti: 'j2' },
  });
  await audit.append({ type: 'decision', phase: 'single', principal: bob, decision: 'deny' });
  const found = async (filter: Parameters<typeof audit.query>[0]) => (await audit.query(filter)).length;
  const hits = [
    { iss: alice.issuer, sub: '42' },
    { agent: 'default/assistant' },
    { server: 'default/orders' },
    { session: 's1' },
    { turn: 't1' },
    { jti: 'j1' },
    { jti: 'j2' },
    { requestId: 'r1' },
    { record: '4711' },
    { record: '4712' },
    { decision: 'deny' },
    { type: 'tool.call' },
  ];
  for (const filter of hits) assert.equal(await found(filter), 1, JSON.stringify(filter));
  assert.equal(await found({ sub: '42' }), 2);
  assert.equal(await found({ iss: alice.issuer, decision: 'deny' }), 0);
});

test('pages follow one another without loss or repetition', async () => {
  await using fixture = await auditFixture({ now: () => 0 });
  const { audit } = fixture;
  await Promise.all(
    Array.from({ length: 25 }, (_, n) => audit.append({ type: 'decision', phase: 'single', rule: `r${n}` })),
  );
  const rules: (string | undefined)[] = [];
  let after: string | undefined;
  for (let page = 0; page < 3; page++) {
    const lines = await audit.query({ type: 'decision', limit: 10, ...(after === undefined ? {} : { after }) });
    rules.push(...lines.map(({ entry }) => entry.rule));
    after = lines.at(-1)?.cursor;
  }
  assert.equal(new Set(rules).size, 25);
});

test('L3 E1 while the disk is full an intent and a change refuse; then it goes on, and one line counts what is missing', async () => {
  await using fixture = await auditFixture();
  const { audit, store } = fixture;
  store.setMaxBytes(1);
  const refused = (error: unknown) => error instanceof AuditError && error.code === 'audit_unavailable';
  const filler = 'x'.repeat(1_000);
  let written = 0;
  const fill = async () => {
    for (; written < 500; written++) await audit.intent({ type: 'tool.call', reason: filler });
  };
  await assert.rejects(fill(), refused);
  const big = { type: 'decision', phase: 'single', data: { a: Array.from({ length: 20 }, () => filler) } } as const;
  for (let n = 0; n < 3; n++) await assert.rejects(audit.append(big), refused);
  const change = store.builder
    .insertInto('meta')
    .values({ key: 'changed', value: filler.repeat(9) })
    .compile();
  const unit = { statements: [{ query: change }], audit: [audit.line({ type: 'change', phase: 'single' })] };
  await assert.rejects(store.commit(unit), { code: 'store_full' });
  const found = store.builder.selectFrom('meta').select('key').where('key', '=', 'changed').compile();
  assert.deepEqual(await store.read(found), []);
  assert.equal((await audit.query({ type: 'start' })).length, 1);
  store.setMaxBytes(1e9);
  await store.commit(unit);
  await audit.append({ type: 'decision', phase: 'single' });
  await audit.append({ type: 'decision', phase: 'single' });
  const gaps = await audit.query({ type: 'gap' });
  assert.deepEqual(
    gaps.map(({ entry }) => entry.data?.missed),
    [3],
  );
  assert.equal((await audit.verify()).ok, true);
});

test('E2 an intent without outcome stays in the log as what it is', async () => {
  await using fixture = await auditFixture();
  const ref = await fixture.audit.intent(call(alice, 't9'));
  await fixture.restart();
  const lines = await fixture.audit.query({ ref });
  assert.deepEqual(
    lines.map(({ entry }) => entry.phase),
    ['intent'],
  );
});
