import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Resource } from '@onbehalf/resources';
import { followPrincipals } from '../../src/people/index.ts';
import { createRegistry, insertResource, StoreError } from '../../src/store/index.ts';
import { storeFolder } from './folder.ts';

const agent = (name: string) =>
  ({
    ...{ apiVersion: 'onbehalf.dev/v1alpha1', kind: 'Agent', spec: { type: 'Declarative' }, status: {} },
    metadata: { name, namespace: 'default', uid: name, generation: 1, resourceVersion: '1', managedBy: 'api' },
  }) as unknown as Resource;

test('a cache whose read fails reads again: nothing that was revoked is allowed for longer than the disk is broken', async () => {
  await using folder = storeFolder();
  const store = await folder.open();
  const registry = await createRegistry(store);
  const principals = await followPrincipals(store);
  const { read } = store;
  let failures = 0;
  store.read = (query) => {
    if (failures >= 4) return read.call(store, query) as never;
    failures++;
    return Promise.reject(new StoreError('store_failed', 'the disk is broken'));
  };
  const insert = store.builder.insertInto('principals').values({
    ...{ iss: 'https://a', sub: 'alice', kind: 'person', name: null, email: null, role: null },
    ...{ disabled: 1, not_before: 0, created_at: 0, last_seen: null },
  });
  const { revision } = await store.commit({
    statements: [insertResource(store, agent('one'), undefined), { query: insert.compile() }],
    changes: [
      { kind: 'Agent', key: 'one', op: 'put' },
      { kind: 'Principal', key: 'https://a alice', op: 'put' },
    ],
  });
  await Promise.all([registry.settled(revision), principals.settled(revision)]);
  assert.equal(failures, 4);
  assert.equal(registry.byUid('one')?.metadata.name, 'one');
  assert.equal(principals.lookup('https://a', 'alice')?.disabled, true);
  registry.close();
  principals.close();
});

test('a unit of a thousand rows is whole or not there, leaves others their turn, and is told to followers in one step', async () => {
  await using folder = storeFolder();
  const store = await folder.open();
  const registry = await createRegistry(store);
  const told: number[] = [];
  registry.onChange((changed) => told.push(changed.size));
  const many = Array.from({ length: 1_000 }, (_, index) => agent(`a${index}`));
  const unit = (resources: readonly Resource[]) => ({
    statements: resources.map((one) => insertResource(store, one, undefined)),
    changes: resources.map(({ metadata }) => ({ kind: 'Agent', key: metadata.uid, op: 'put' as const })),
  });
  let turns = 0;
  let counting = true;
  const count = () => {
    turns++;
    if (counting) setImmediate(count);
  };
  setImmediate(count);
  const large = store.commit(unit(many));
  const small = store.commit(unit([agent('small')]));
  const { revision } = await large;
  counting = false;
  assert.ok(turns > 1, 'nobody had a turn');
  await registry.settled(Math.max(revision, (await small).revision));
  assert.equal(registry.list('Agent').length, 1_001);
  assert.deepEqual(
    [...told].sort((a, b) => a - b),
    [1, 1_000],
  );

  const twice = [...Array.from({ length: 500 }, (_, index) => agent(`b${index}`)), agent('small')];
  const after = store.commit(unit([agent('after')]));
  await assert.rejects(store.commit(unit(twice)), { code: 'precondition_failed', conflict: 'resource_exists' });
  await registry.settled((await after).revision);
  assert.equal(registry.list('Agent').length, 1_002, 'nothing of it was stored');
  registry.close();
});
