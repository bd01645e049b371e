import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { describe, test } from 'node:test';
import { loadConfig } from '../../src/config.ts';
import { addressKey, createLimits, formTooLarge, headTooLarge, LimitError, personKey } from '../../src/limits/index.ts';

const settings = loadConfig({ env: {} }).limits;
const alice = { issuer: 'https://a', subject: 'alice' };
const bob = { issuer: 'https://a', subject: 'bob' };

function limitsAt(some: Partial<typeof settings>, clock = { at: 0 }) {
  const limits = createLimits({ settings: { ...settings, ...some }, trustedProxies: [], elapsed: () => clock.at });
  return { limits, clock };
}

/** How many of 100 are let through. */
function admitted(take: () => void): number {
  let count = 0;
  for (let i = 0; i < 100; i++)
    try {
      take();
      count++;
    } catch (error) {
      assert.ok(error instanceof LimitError);
    }
  return count;
}

test('a budget of a minute is used up at once and fills again evenly; another person has their own', () => {
  const { limits, clock } = limitsAt({ tickets: 60 });
  assert.equal(
    admitted(() => limits.take('tickets', personKey(alice))),
    60,
  );
  assert.equal(
    admitted(() => limits.take('tickets', personKey(bob))),
    60,
  );
  clock.at = 5_000;
  assert.equal(
    admitted(() => limits.take('tickets', personKey(alice))),
    5,
  );
});

test('what is refused says which budget it is, how much it allows, and when to try again', () => {
  const { limits } = limitsAt({ applies: 2 });
  limits.take('applies', personKey(alice), 2);
  assert.throws(
    () => limits.take('applies', personKey(alice)),
    (error: LimitError) =>
      error.code === 'rate_limited' &&
      error.budget === 'applies' &&
      error.retryAfter === 30 &&
      error.message === 'too many: 2 writes of resources in a minute (budget applies)',
  );
});

test('what is held is given back once, however often it is given back', () => {
  const { limits } = limitsAt({ sockets: 2 });
  const first = limits.hold('sockets', personKey(alice));
  limits.hold('sockets', personKey(alice));
  assert.throws(() => limits.hold('sockets', personKey(alice)), LimitError);
  limits.hold('sockets', personKey(bob));
  first();
  first();
  limits.hold('sockets', personKey(alice));
  assert.throws(() => limits.hold('sockets', personKey(alice)), LimitError);
});

test('people are told what they have used, and nothing of addresses', () => {
  const { limits } = limitsAt({ tickets: 60, sockets: 50 });
  limits.take('tickets', personKey(alice), 3);
  limits.hold('sockets', personKey(alice));
  const mine = new Map(limits.usage(alice).map(({ budget, ...usage }) => [budget, usage]));
  assert.deepEqual(mine.get('tickets'), { limit: 60, used: 3, says: 'tickets in a minute' });
  assert.equal(mine.get('sockets')?.used, 1);
  assert.equal(limits.usage(bob).find(({ budget }) => budget === 'tickets')?.used, 0);
  assert.equal(mine.has('passwords'), false);
  assert.equal(mine.has('handshakes'), false);
});

test('keys that are made up do not fill the memory', () => {
  const { limits } = limitsAt({ passwords: 1 });
  for (let i = 0; i < 60_000; i++) limits.take('passwords', `10.0.${i >> 8}.${i & 255}`);
  // The oldest were let go: they have their whole budget again.
  limits.take('passwords', '10.0.0.0');
  assert.throws(() => limits.take('passwords', '10.0.234.95'), LimitError);
});

describe('the address that counts is that of the last hop which is no proxy of ours', () => {
  const { address } = createLimits({ settings, trustedProxies: ['10.0.0.0/8', 'fd00::/8'] });
  const from = (peer: string, forwarded?: string) =>
    address({
      socket: { remoteAddress: peer },
      headers: forwarded === undefined ? {} : { 'x-forwarded-for': forwarded },
    } as unknown as IncomingMessage);
  const cases: readonly (readonly [name: string, peer: string, header: string | undefined, expected: string])[] = [
    ['nobody in between', '203.0.113.5', undefined, '203.0.113.5'],
    ['a stranger who says so', '203.0.113.5', '198.51.100.1', '203.0.113.5'],
    ['one proxy', '10.0.0.1', '198.51.100.1', '198.51.100.1'],
    ['two proxies', '10.0.0.1', '198.51.100.1, 10.0.0.2', '198.51.100.1'],
    ['what the client wrote in front', '10.0.0.1', '1.1.1.1, 198.51.100.1, 10.0.0.2', '198.51.100.1'],
    ['a proxy alone', '10.0.0.1', undefined, '10.0.0.1'],
    ['no address at all', '10.0.0.1', 'unknown', '10.0.0.1'],
    ['no address in front of a proxy', '10.0.0.1', 'evil, 10.0.0.2', '10.0.0.2'],
    ['an IPv4 address in IPv6 clothes', '::ffff:10.0.0.1', '::ffff:198.51.100.1', '198.51.100.1'],
    ['IPv6', 'fd00::1', '2001:db8::7', '2001:db8::7'],
  ];
  for (const [name, peer, header, expected] of cases) test(name, () => assert.equal(from(peer, header), expected));
});

test('one IPv6 host has one budget: its /64', () => {
  assert.equal(addressKey('2001:db8:1:2:3:4:5:6'), addressKey('2001:db8:1:2::1'));
  assert.notEqual(addressKey('2001:db8:1:2::1'), addressKey('2001:db8:1:3::1'));
  assert.equal(addressKey('203.0.113.5'), '203.0.113.5');
});

test('a head and a form are measured before they are parsed, in a time that grows with their length alone', () => {
  const head = (url: string, headers = 2) =>
    headTooLarge({ url, rawHeaders: new Array<string>(headers * 2).fill('x') });
  assert.equal(head('/oidc/auth'), undefined);
  assert.equal(head(`/oidc/auth?${'a=b&'.repeat(63)}a=b`), undefined);
  assert.equal(head(`/oidc/auth?${'a=b&'.repeat(64)}a=b`)?.code, 'query_too_large');
  assert.equal(head(`/oidc/auth?a=${'b'.repeat(9_000)}`)?.code, 'query_too_large');
  assert.equal(head('/', 101)?.code, 'headers_too_large');
  assert.equal(formTooLarge('a=b&'.repeat(63)), false);
  assert.equal(formTooLarge('a=b&'.repeat(64)), true);
});
