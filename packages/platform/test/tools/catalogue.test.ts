import assert from 'node:assert/strict';
import { test } from 'node:test';
import { placeOf, type ResourceOf } from '@onbehalf/resources';
import { StoreError } from '../../src/store/index.ts';
import { failedStatus, foundStatus } from '../../src/tools/tool-status.ts';
import { startChain } from '../runtime/chain.ts';
import { rawServer } from './raw-server.ts';

type Server = ResourceOf<'RemoteMCPServer'>;
const AT = '2026-01-01T00:00:00.000Z';
const tool = (name: string, hash: string) => ({ name, description: '', inputSchema: {}, hash, approved: false });
const serverAt = (url: string, status: Server['status'] = {}) =>
  ({
    apiVersion: 'onbehalf.dev/v1alpha1',
    kind: 'RemoteMCPServer',
    metadata: { name: 'orders', uid: 'u', generation: 3, resourceVersion: '1', managedBy: 'api' },
    spec: { url },
    status,
  }) as Server;
const said = ({ conditions = [] }: Server['status'], type: string) => {
  const found = conditions.find((one) => one.type === type);
  return [found?.status, found?.reason];
};
const A = 'https://a.example/mcp';
const B = 'https://b.example/mcp';

test('M4 what is approved is approved for one address and auth: elsewhere it counts as new', () => {
  const found = { leftOut: [], tools: [tool('list', '1'), tool('get', '2')], era: 'modern' };
  const first = foundStatus(serverAt(A), found, { trusted: true, at: AT });
  assert.deepEqual(
    first.tools?.map(({ approved }) => approved),
    [true, true],
  );
  assert.deepEqual(said(first, 'ToolDrift'), ['False', 'InSync']);
  // The same again, though nobody is trusted: it stays.
  const again = foundStatus(serverAt(A, first), found, { trusted: false, at: AT });
  assert.deepEqual(again.tools, first.tools);
  // One hash is another: that one alone waits.
  const changed = foundStatus(
    serverAt(A, first),
    { ...found, tools: [tool('list', '1'), tool('get', 'x')] },
    { trusted: true, at: AT },
  );
  assert.deepEqual(
    changed.tools?.map(({ approved }) => approved),
    [true, false],
  );
  const moved = foundStatus(serverAt(B, first), found, { trusted: false, at: AT });
  assert.deepEqual(
    moved.tools?.map(({ approved }) => approved),
    [false, false],
  );
  const other = { ...serverAt(A, first), spec: { url: A, auth: { mode: 'Static' as const } } } as Server;
  assert.deepEqual(foundStatus(other, found, { trusted: false, at: AT }).tools?.[0]?.approved, false);
});

test('a failed discovery keeps the list, and at another place approves nothing of it; there and back is a first list again', () => {
  const found = { leftOut: [], tools: [tool('list', '1')], era: 'modern' };
  const good = foundStatus(serverAt(A), found, { trusted: true, at: AT });
  const failure = { message: 'orders cannot be reached', reached: false };
  assert.equal(failedStatus(serverAt(A, good), failure, AT).tools?.[0]?.approved, true);
  const moved = failedStatus(serverAt(B, good), failure, AT);
  assert.deepEqual([moved.tools?.[0]?.approved, moved.approvedFor], [false, undefined]);
  const back = foundStatus(serverAt(A, moved), found, { trusted: false, at: AT });
  assert.equal(back.tools?.[0]?.approved, false);
});

test('Reachable says whether the server answered, and Unknown where it was not asked', () => {
  const of = (reached?: boolean) =>
    said(failedStatus(serverAt(A), { message: 'x', ...(reached !== undefined && { reached }) }, AT), 'Reachable');
  assert.deepEqual(of(true), ['True', 'Answered']);
  assert.deepEqual(of(false), ['False', 'NoAnswer']);
  assert.deepEqual(of(), ['Unknown', 'NotAsked']);
});

test('the order in which a document is written makes no other place', () => {
  const one = { url: A, auth: { mode: 'Exchange' as const, scopes: ['a'], resource: [A] } };
  const two = { auth: { resource: [A], scopes: ['a'], mode: 'Exchange' as const }, url: A };
  assert.equal(placeOf(one), placeOf(two));
  assert.notEqual(placeOf(one), placeOf({ ...one, auth: { ...one.auth, scopes: ['b'] } }));
});

test('a status that cannot be written, as on a full disk, is told to the log and tried again: the process goes on', async () => {
  const problems: unknown[] = [];
  await using closing = {
    chain: await startChain({ onProblem: (error) => problems.push(error) }),
    [Symbol.asyncDispose]: () => closing.chain.close(),
  };
  const { chain } = closing;
  await chain.ready();
  const raw = await rawServer((_request, response) => response.end());
  const { commit } = chain.store;
  chain.store.commit = (unit) =>
    JSON.stringify(unit).includes('DiscoveryFailed') || JSON.stringify(unit).includes('ToolsDiscovered')
      ? Promise.reject(new StoreError('store_full', 'no space left for the store'))
      : commit(unit);
  await chain.apply(`
apiVersion: onbehalf.dev/v1alpha1
kind: RemoteMCPServer
metadata: {name: found}
spec: {url: "${raw.url}"}
---
apiVersion: onbehalf.dev/v1alpha1
kind: RemoteMCPServer
metadata: {name: lost}
spec: {url: "http://127.0.0.1:9/mcp"}
`);
  while (problems.length < 2) await new Promise((resolve) => setImmediate(resolve));
  assert.ok(problems.every((error) => error instanceof StoreError && error.code === 'store_full'));
  chain.store.commit = commit;
  const uid = (name: string) => chain.registry.get('RemoteMCPServer', 'default', name)?.metadata.uid ?? '';
  await chain.tools.discover(uid('found'));
  assert.deepEqual(
    chain.registry
      .get('RemoteMCPServer', 'default', 'found')
      ?.status.tools?.map(({ name, approved }) => [name, approved]),
    [['echo', true]],
  );
  await raw.close();
});
