import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { type AuditBody, type Change, type Store, StoreError } from '../../src/store/index.ts';

/** A database under test. `reopen` opens the same data again after the store given out before was closed. */
export interface StoreFixture {
  store: Store;
  reopen(): Promise<Store>;
  remove(): Promise<void>;
}

export const testChain = (writer: string, seq: number, prev: string, body: string): string =>
  createHash('sha256').update(`${writer}|${seq}|${prev}|${body}`).digest('base64url');

export const line = (n: number): AuditBody => ({
  body: `{"n":${n}}`,
  index: { at: '2026-01-01T00:00:00.000Z', type: 'decision', phase: 'single', turn: `turn-${n}` },
});

export const putMeta = (store: Store, key: string, value: string) =>
  store.builder.insertInto('meta').values({ key, value }).compile();

export const metaKeys = async (store: Store, prefix: string): Promise<string[]> => {
  const query = store.builder.selectFrom('meta').select('key').where('key', 'like', `${prefix}%`).orderBy('key');
  return (await store.read(query.compile())).map((row) => row.key);
};

const failure = (code: string, conflict?: string) => (error: unknown) =>
  error instanceof StoreError && error.code === code && error.conflict === conflict;

/** What every database must do, run by each of them. */
export function storeConformance(name: string, open: () => Promise<StoreFixture>): void {
  const check = (title: string, run: (fixture: StoreFixture) => Promise<void>) =>
    test(`${name}: ${title}`, async () => {
      const fixture = await open();
      try {
        await run(fixture);
      } finally {
        await fixture.remove();
      }
    });

  check('a committed unit is read back as plain objects, and survives reopening', async ({ store, reopen }) => {
    const result = await store.commit({ statements: [{ query: putMeta(store, 'k', 'v') }] });
    assert.deepEqual(result, { revision: 0, rows: [1], audit: [] });
    const query = store.builder.selectFrom('meta').selectAll().where('key', '=', 'k').compile();
    assert.deepEqual(await store.read(query), [{ key: 'k', value: 'v' }]);
    await store.close();
    const again = await reopen();
    assert.deepEqual(await again.read(query), [{ key: 'k', value: 'v' }]);
  });

  check('64-bit times, texts of any script and nulls come back as they were', async ({ store }) => {
    const row = { id: 'c', spec: '{"n":"Ωμέγα 🜁"}', secret_ref: null, created_at: 8_640_000_000_000_000 };
    await store.commit({ statements: [{ query: store.builder.insertInto('clients').values(row).compile() }] });
    assert.deepEqual(await store.read(store.builder.selectFrom('clients').selectAll().compile()), [row]);
  });

  check('a precondition that fails takes its whole unit, and nothing else', async ({ store }) => {
    const bad = store.builder.updateTable('meta').set({ value: 'x' }).where('key', '=', 'absent').compile();
    const [first, second, third] = await Promise.allSettled([
      store.commit({ statements: [{ query: putMeta(store, 'u1', 'v') }] }),
      store.commit({
        statements: [{ query: putMeta(store, 'u2', 'v') }, { query: bad, expect: 1, conflict: 'gone' }],
        changes: [{ kind: 'Agent', key: 'a', op: 'put' }],
        audit: [line(1)],
      }),
      store.commit({ statements: [{ query: putMeta(store, 'u3', 'v') }], audit: [line(2)] }),
    ]);
    assert.equal(first.status, 'fulfilled');
    assert.ok(second.status === 'rejected' && failure('precondition_failed', 'gone')(second.reason));
    assert.ok(third.status === 'fulfilled');
    assert.deepEqual(third.value.audit, [{ writer: store.writer, seq: 1 }]);
    assert.deepEqual(await metaKeys(store, 'u'), ['u1', 'u3']);
    assert.equal(store.revision(), 0);
  });

  check('a duplicate key is a failed precondition with the code of its statement', async ({ store }) => {
    await store.commit({ statements: [{ query: putMeta(store, 'd', '1') }] });
    const again = store.commit({ statements: [{ query: putMeta(store, 'd', '2'), conflict: 'exists' }] });
    await assert.rejects(again, failure('precondition_failed', 'exists'));
  });

  check('a select is a precondition on the rows that it finds', async ({ store }) => {
    const found = store.builder.selectFrom('meta').select('key').where('key', '=', 's').compile();
    const put = { query: putMeta(store, 's', '1') };
    await store.commit({ statements: [{ query: found, expect: 0 }, put] });
    await assert.rejects(
      store.commit({ statements: [{ query: found, expect: 0 }, put] }),
      failure('precondition_failed'),
    );
  });

  check('a wrong statement fails its unit alone', async ({ store }) => {
    const wrong = store.builder.insertInto('clients').values({ id: 'x', spec: '{}', created_at: 1 }).compile();
    const broken = { ...wrong, sql: `${wrong.sql} nonsense` };
    const missing = { ...wrong, parameters: ['y', null, 1] };
    const results = await Promise.allSettled([
      store.commit({ statements: [{ query: broken }] }),
      store.commit({ statements: [{ query: missing }] }),
      store.commit({ statements: [{ query: wrong }] }),
    ]);
    const codes = results.map((r) => (r.status === 'rejected' ? r.reason.code : 'ok'));
    assert.deepEqual(codes, ['statement_invalid', 'statement_invalid', 'ok']);
  });

  check('a read cannot write', async ({ store }) => {
    await assert.rejects(store.read(putMeta(store, 'w', 'v')), failure('store_readonly'));
    assert.deepEqual(await metaKeys(store, 'w'), []);
  });

  check('of many who claim one thing, one gets it', async ({ store }) => {
    await store.commit({ statements: [{ query: putMeta(store, 'lock', 'free') }] });
    const claim = (who: string) =>
      store.builder
        .updateTable('meta')
        .set({ value: who })
        .where('key', '=', 'lock')
        .where('value', '=', 'free')
        .compile();
    const claims = Array.from({ length: 50 }, (_, n) =>
      store.commit({ statements: [{ query: claim(`w${n}`), expect: 1 }] }),
    );
    const won = (await Promise.allSettled(claims)).filter((r) => r.status === 'fulfilled');
    assert.equal(won.length, 1);
  });

  check('audit lines of one writer are one chain, with no number left out', async ({ store }) => {
    const bad = store.builder.deleteFrom('meta').where('key', '=', 'absent').compile();
    await Promise.allSettled(
      Array.from({ length: 30 }, (_, n) =>
        store.commit({
          statements: n % 3 === 0 ? [{ query: bad, expect: 1 }] : [],
          audit: n % 2 === 0 ? [line(n), line(n + 100)] : [line(n)],
        }),
      ),
    );
    const lines = await store.read(store.builder.selectFrom('audit_lines').selectAll().orderBy('seq').compile());
    assert.equal(lines.length, 30);
    let prev = '';
    for (const [n, found] of lines.entries()) {
      assert.equal(found.seq, n + 1);
      assert.equal(found.prev, prev);
      assert.equal(found.hash, testChain(store.writer, found.seq, prev, found.body));
      prev = found.hash;
    }
  });

  check('a unit that fails at its last line gives its revisions and its place in the chain back', async ({ store }) => {
    const unit = (key: string, audit: AuditBody[]) =>
      store.commit({ statements: [], changes: [{ kind: 'K', key, op: 'put' }], audit });
    const seen: string[] = [];
    store.watch(0, (changes) => seen.push(...changes.map(({ revision, key }) => `${revision} ${key}`)));
    const unfit: AuditBody = JSON.parse('{"body":"{}","index":{"at":null,"type":"decision","phase":"single"}}');
    const results = await Promise.allSettled([unit('a', [line(1)]), unit('b', [line(2), unfit]), unit('c', [line(3)])]);
    const outcome = results.map((r) =>
      r.status === 'rejected' ? r.reason.code : [r.value.revision, r.value.audit[0]?.seq],
    );
    assert.deepEqual(outcome, [[1, 1], 'statement_invalid', [2, 2]]);
    assert.deepEqual(seen, ['1 a', '2 c']);
    const query = store.builder.selectFrom('audit_lines').select(['seq', 'prev', 'hash', 'body']).orderBy('seq');
    const [first, second] = await store.read(query.compile());
    assert.equal(second?.hash, testChain(store.writer, 2, first?.hash ?? '', line(3).body));
  });

  check('watchers see every change once, in order, from any revision, before the commit resolves', async (fixture) => {
    const { store } = fixture;
    const put = (key: string) => store.commit({ statements: [], changes: [{ kind: 'Agent', key, op: 'put' }] });
    const seen: Change[] = [];
    const live = store.watch(0, (changes) => seen.push(...changes));
    for (const n of [1, 2, 3]) {
      const { revision } = await put(`k${n}`);
      assert.equal(revision, n);
      assert.equal(seen.at(-1)?.revision, n);
    }
    await Promise.all(Array.from({ length: 700 }, (_, n) => put(`m${n}`)));
    assert.equal(store.revision(), 703);
    const late: number[] = [];
    const resumed = store.watch(2, (changes) => late.push(...changes.map((change) => change.revision)));
    await put('last');
    assert.deepEqual(
      late,
      Array.from({ length: 702 }, (_, n) => n + 3),
    );
    assert.deepEqual(
      seen.map((change) => change.revision),
      Array.from({ length: 704 }, (_, n) => n + 1),
    );
    assert.deepEqual([seen[0]?.kind, seen[0]?.key, seen[0]?.op], ['Agent', 'k1', 'put']);
    live.close();
    resumed.close();
    await put('unseen');
    assert.equal(seen.length, 704);
    await store.close();
    const again = await fixture.reopen();
    assert.equal(again.revision(), 705);
    const backlog: string[] = [];
    await new Promise<void>((resolve) => {
      again.watch(703, (changes) => {
        backlog.push(...changes.map((change) => change.key));
        if (backlog.length === 2) resolve();
      });
    });
    assert.deepEqual(backlog, ['last', 'unseen']);
  });

  check('a watcher may commit, and sees its own change after the one it answers', async ({ store }) => {
    const seen: string[] = [];
    const answered = new Promise<void>((resolve) => {
      store.watch(0, (changes) => {
        for (const { key } of changes) {
          seen.push(key);
          if (key === 'ask') void store.commit({ statements: [], changes: [{ kind: 'K', key: 'answer', op: 'put' }] });
          else resolve();
        }
      });
    });
    await store.commit({ statements: [], changes: [{ kind: 'K', key: 'ask', op: 'put' }] });
    await answered;
    assert.deepEqual(seen, ['ask', 'answer']);
  });

  check('a new process is a new writer', async (fixture) => {
    const first = fixture.store.writer;
    await fixture.store.commit({ statements: [], audit: [line(1)] });
    await fixture.store.close();
    const again = await fixture.reopen();
    assert.notEqual(again.writer, first);
    const { audit } = await again.commit({ statements: [], audit: [line(1)] });
    assert.deepEqual(audit, [{ writer: again.writer, seq: 1 }]);
  });

  check('close finishes what is queued and refuses what comes after', async (fixture) => {
    const { store } = fixture;
    const queued = store.commit({ statements: [{ query: putMeta(store, 'q', 'v') }] });
    const closed = store.close();
    await assert.rejects(store.commit({ statements: [] }), failure('closed'));
    await Promise.all([queued, closed, store.close()]);
    const again = await fixture.reopen();
    assert.deepEqual(await metaKeys(again, 'q'), ['q']);
  });
}
