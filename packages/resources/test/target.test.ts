import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type RemoteMcpServerSpec, registeredTargets, resolveTarget, type TargetOverride } from '@onbehalf/resources';

const exchange = (auth: Partial<NonNullable<RemoteMcpServerSpec['auth']>>): RemoteMcpServerSpec => ({
  url: 'https://orders.example/mcp',
  auth: { mode: 'Exchange', ...auth },
});
const own = exchange({ resource: ['https://orders.example/mcp'], scopes: ['orders.read'] });

function resolve(server: RemoteMcpServerSpec, binding?: TargetOverride, agent?: TargetOverride) {
  const result = resolveTarget(server, binding, agent);
  return 'target' in result ? result.target : result.problems;
}

test('the server alone', () => {
  assert.deepEqual(resolve(own), {
    audience: [],
    resource: ['https://orders.example/mcp'],
    scopes: ['orders.read'],
    expectedAudience: ['https://orders.example/mcp'],
    origin: { audience: 'none', resource: 'server', scopes: 'server' },
  });
});

test('a binding chooses field by field within allowOverride', () => {
  const server = exchange({ ...own.auth, allowOverride: { scopes: ['orders.read', 'orders.refund'] } });
  const target = resolve(server, { scopes: ['orders.refund'] });
  assert.ok(!Array.isArray(target));
  assert.deepEqual(target.scopes, ['orders.refund']);
  assert.deepEqual(target.origin, { audience: 'none', resource: 'server', scopes: 'binding' });
});

test('D1 a binding beyond allowOverride is refused and names what may be chosen', () => {
  for (const binding of [{ audience: ['hr'] }, { resource: ['https://hr.example'] }, { scopes: ['admin'] }]) {
    const problems = resolve(own, binding);
    assert.ok(Array.isArray(problems));
    assert.match(problems[0]?.message ?? '', /not allowed by the server/);
  }
});

test('an agent fills only what server and binding leave out, and only with what the server allows', () => {
  const server = exchange({ resource: ['https://orders.example/mcp'], allowOverride: { scopes: ['a', 'b'] } });
  const target = resolve(server, undefined, { scopes: ['a'] });
  assert.ok(!Array.isArray(target));
  assert.deepEqual([target.scopes, target.origin.scopes], [['a'], 'agent']);
  const other = resolve(server, undefined, { scopes: ['c'] });
  assert.ok(!Array.isArray(other));
  assert.deepEqual(
    [other.scopes, other.origin.scopes],
    [[], 'none'],
    'a default that this server does not allow is none here',
  );
});

test('an explicit empty list clears, but never both audience and resource', () => {
  const server = exchange({ audience: ['orders'], resource: ['https://orders.example/mcp'], scopes: ['x'] });
  const cleared = resolve(server, { resource: [], scopes: [] });
  assert.ok(!Array.isArray(cleared));
  assert.deepEqual([cleared.expectedAudience, cleared.resource, cleared.scopes], [['orders'], [], []]);
  assert.ok(Array.isArray(resolve(server, { resource: [], audience: [] })));
});

test('resourceFrom: ServerURL registers the server URL, and allowOverride registers as well', () => {
  const server = exchange({ resourceFrom: 'ServerURL', allowOverride: { audience: ['a'] } });
  assert.deepEqual(registeredTargets(server), {
    audience: ['a'],
    resource: ['https://orders.example/mcp'],
    scopes: [],
  });
});
