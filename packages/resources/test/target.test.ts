import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type McpServerBinding,
  type RemoteMcpServerSpec,
  registeredTargets,
  resolveTarget,
  type TargetOverride,
} from '@onbehalf/resources';

const exchange = (auth: Partial<NonNullable<RemoteMcpServerSpec['auth']>>): RemoteMcpServerSpec => ({
  url: 'https://orders.example/mcp',
  auth: { mode: 'Exchange', ...auth },
});
const own = exchange({ resource: ['https://orders.example/mcp'], scopes: ['orders.read'] });

function resolve(
  server: RemoteMcpServerSpec,
  binding?: McpServerBinding['auth'],
  agent?: TargetOverride,
  tool?: string,
) {
  const result = resolveTarget(server, binding, agent, tool);
  return 'target' in result ? result.target : result.problems;
}

test('the server alone', () => {
  assert.deepEqual(resolve(own), {
    audience: [],
    resource: ['https://orders.example/mcp'],
    scopes: ['orders.read'],
    connectionScopes: ['orders.read'],
    stepUpScopes: ['orders.read'],
    expectedAudience: ['https://orders.example/mcp'],
    origin: { audience: 'none', resource: 'server', scopes: 'server' },
    ofTool: false,
  });
});

test('a tool that toolScopes names has those scopes and no other, every other tool and the connection have `scopes`', () => {
  const server = exchange({ ...own.auth, toolScopes: { refund: ['orders.refund'], ping: [] } });
  const of = (tool?: string, binding?: McpServerBinding['auth']) => {
    const target = resolve(server, binding, undefined, tool);
    assert.ok(!Array.isArray(target), JSON.stringify(target));
    return [target.scopes, target.origin.scopes, target.ofTool, target.connectionScopes, target.stepUpScopes];
  };
  const read = ['orders.read'];
  assert.deepEqual(of('refund'), [['orders.refund'], 'server', true, read, ['orders.read', 'orders.refund']]);
  assert.deepEqual(of('ping'), [[], 'server', true, read, read]);
  for (const tool of ['list', 'constructor', '__proto__', undefined])
    assert.deepEqual(of(tool), [read, 'server', false, read, read]);
  assert.deepEqual(of('refund', { toolScopes: { refund: [] } }), [[], 'binding', true, read, read]);
  assert.deepEqual(of('refund', { scopes: [] }), [['orders.refund'], 'server', true, [], ['orders.refund']]);
  assert.deepEqual(registeredTargets(server).scopes, ['orders.read', 'orders.refund']);
});

test('D1 a binding chooses scopes for a tool within allowOverride, else from what the server itself asks for it', () => {
  const problems = (server: RemoteMcpServerSpec, chosen: string[], tool = 'refund') => {
    const result = resolve(server, { toolScopes: { [tool]: chosen } }, undefined, 'list');
    return Array.isArray(result) ? result.map(({ field, message }) => `${field} ${message}`) : [];
  };
  const named = exchange({ ...own.auth, toolScopes: { refund: ['orders.refund'] } });
  assert.deepEqual(problems(named, ['orders.read', 'orders.refund']), []);
  assert.deepEqual(problems(named, ['orders.refund'], 'list'), [
    'toolScopes list: "orders.refund" is not allowed by the server: choose from orders.read',
  ]);
  assert.deepEqual(problems(named, ['orders.admin']).length, 1);
  const open = exchange({ ...named.auth, allowOverride: { scopes: ['orders.read'] } });
  assert.deepEqual(problems(open, ['orders.read']), []);
  assert.equal(problems(open, ['orders.refund']).length, 1);
});

test('T3 a step up goes to what is declared: all that the server allows where nobody chose and no tool is named', () => {
  const upTo = (auth: Partial<NonNullable<RemoteMcpServerSpec['auth']>>, binding?: McpServerBinding['auth']) => {
    const target = resolve(exchange({ ...own.auth, scopes: ['a'], ...auth }), binding, undefined, 'list');
    return Array.isArray(target) ? target : target.stepUpScopes;
  };
  const allowOverride = { scopes: ['a', 'b'] };
  assert.deepEqual(upTo({}), ['a']);
  assert.deepEqual(upTo({ allowOverride }), ['a', 'b']);
  assert.deepEqual(upTo({ allowOverride, toolScopes: { refund: ['b'] } }), ['a']);
  assert.deepEqual(upTo({ allowOverride }, { scopes: ['a'] }), ['a']);
  assert.deepEqual(upTo({ allowOverride }, { toolScopes: { list: [] } }), ['a']);
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
