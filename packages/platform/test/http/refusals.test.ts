import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AccessError } from '@onbehalf/access';
import { pino } from 'pino';
import { HttpProblem } from '../../src/http/problems.ts';
import { createRefusalLog } from '../../src/http/refusals.ts';
import { addressKey, Tally } from '../../src/limits/index.ts';
import { auditFixture } from '../audit/fixture.ts';

const issuer = 'https://one.example';
const problem = new HttpProblem('unauthenticated', 'the token is not valid');
const request = { id: 'r1', method: 'GET', url: '/api/agents?x=1', caller: undefined };
const garbage = new AccessError('token_malformed', 'this is no token');
const holder = (subject: string) => new AccessError('principal_disabled', 'disabled', { issuer, subject });

test('60 garbage tokens by nobody hide no refusal of a person, and one person’s flood none of another’s', async () => {
  let time = Date.parse('2026-01-01T00:00:00.000Z');
  await using fixture = await auditFixture();
  const log = createRefusalLog({ audit: fixture.audit, log: pino({ level: 'silent' }), now: () => time });
  for (let n = 0; n < 200; n++) log.note(request, problem, garbage, '192.0.2.1');
  for (let n = 0; n < 100; n++) log.note(request, problem, holder('alice'), '192.0.2.1');
  log.note(request, problem, holder('bob'), '192.0.2.1');
  log.note(request, problem, garbage, '192.0.2.2');
  await log.flush();
  const of = async (filter: object) =>
    (await fixture.audit.query({ type: 'refusal', limit: 1_000, ...filter })).map(({ entry }) => entry);
  assert.equal((await of({ sub: 'bob' })).length, 1);
  assert.equal((await of({ sub: 'alice' })).length, 60);
  const anonymous = async () => (await of({})).filter((entry) => entry.principal === undefined);
  const addresses = (await anonymous()).map(({ address }) => address);
  assert.deepEqual(
    [addresses.filter((address) => address === '192.0.2.1').length, addresses.at(-1), addresses.length],
    [60, '192.0.2.2', 61],
  );
  assert.equal((await of({})).filter(({ outcome }) => outcome === 'counted').length, 0, 'the minute is not over');
  time += 60_000;
  await log.flush();
  const counted = (await of({})).filter(({ outcome }) => outcome === 'counted');
  assert.deepEqual(
    counted.map(({ principal, address, data }) => [principal?.subject, address, data?.omitted]),
    [
      [undefined, '192.0.2.1', 140],
      ['alice', undefined, 40],
    ],
  );
  // Nothing is counted twice, and what is counted in a minute that is cut short is written at the end.
  for (let n = 0; n < 61; n++) log.note(request, problem, holder('alice'), '192.0.2.1');
  await log.close();
  const all = (await of({})).filter(({ outcome }) => outcome === 'counted');
  assert.deepEqual(
    all.map(({ data }) => data?.omitted),
    [140, 40, 1],
  );
});

test('a flood from ever new addresses writes so many lines in a minute, counts the rest, and holds a bounded memory', async () => {
  let time = 0;
  await using fixture = await auditFixture();
  const log = createRefusalLog({ audit: fixture.audit, log: pino({ level: 'silent' }), now: () => time });
  for (let n = 0; n < 20_000; n++)
    log.note(request, problem, garbage, `2001:db8:${(n >> 8).toString(16)}:${(n & 255).toString(16)}::1`);
  log.note(request, problem, holder('alice'), '2001:db8::1');
  time += 60_000;
  await log.flush();
  const lines = (await fixture.audit.query({ type: 'refusal', limit: 1_000 })).map(({ entry }) => entry);
  assert.equal(lines.length, 600 + 1 + 101);
  assert.equal(lines.filter(({ principal }) => principal?.subject === 'alice').length, 1);
  const omitted = lines.reduce((sum, { data }) => sum + Number(data?.omitted ?? 0), 0);
  assert.equal(omitted + 600, 20_000);
  await log.close();
});

test('keys beyond the bound share one count, and lose none', () => {
  let time = 0;
  const tally = new Tally({ perKey: 1, windowMs: 10, maxKeys: 2, now: () => time });
  const admitted = ['a', 'b', 'c', 'd', 'a', 'c'].map((key) => tally.admit(key));
  assert.deepEqual(admitted, [true, true, true, false, false, false]);
  time = 10;
  assert.deepEqual(
    tally.take().map(({ key, count }) => [key, count]),
    [
      ['a', 1],
      [undefined, 2],
    ],
  );
  assert.deepEqual(tally.take(true), []);
});

test('an address is one IPv4 address, however it is spelled, or the /64 of an IPv6 one', () => {
  assert.equal(addressKey('192.0.2.1'), '192.0.2.1');
  assert.equal(addressKey('::ffff:192.0.2.1'), '192.0.2.1');
  assert.equal(addressKey('2001:db8:0:7::1'), addressKey('2001:0DB8:0000:0007:ffff::'));
  assert.notEqual(addressKey('2001:db8:0:7::1'), addressKey('2001:db8:0:8::1'));
  assert.equal(addressKey('fe80::1%eth0'), addressKey('fe80::2'));
  assert.equal(addressKey('::1'), '0:0:0:0::/64');
});
