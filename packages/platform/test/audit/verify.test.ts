import assert from 'node:assert/strict';
import { statSync, truncateSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { chainHash } from '../../src/audit/index.ts';
import { type AuditFixture, auditFixture, witnessOf } from './fixture.ts';

const alice = { issuer: 'https://one.example', subject: 'alice' };

const append = async ({ audit }: AuditFixture, count: number) => {
  for (let n = 0; n < count; n++)
    await audit.append({
      type: 'decision',
      phase: 'single',
      rule: `rule-${n}`,
      principal: alice,
      records: [`4711-${n}`],
    });
};

const rehash = (db: DatabaseSync, writer: string) => {
  let prev = '';
  for (const row of db.prepare('select seq, body from audit_lines where writer = ? order by seq').all(writer)) {
    const hash = chainHash(writer, Number(row.seq), prev, String(row.body));
    db.prepare('update audit_lines set prev = ?, hash = ? where writer = ? and seq = ?').run(
      prev,
      hash,
      writer,
      Number(row.seq),
    );
    prev = hash;
  }
};

const shift = (db: DatabaseSync, writer: string, from: number, by: number) => {
  const move = 'update audit_lines set seq = ? - seq where writer = ? and seq >= ?';
  db.prepare(move).run(-1_000_000, writer, from);
  db.prepare('update audit_lines set seq = -1000000 - seq + ? where writer = ? and seq < 0').run(by, writer);
};

test('L2 an untouched log verifies, over restarts, and says since when and against whom', async () => {
  await using fixture = await auditFixture();
  await append(fixture, 5);
  await fixture.restart();
  await append(fixture, 5);
  await fixture.audit.checkpoint();
  const result = await fixture.audit.verify();
  assert.ok(result.ok);
  assert.deepEqual([result.entries, result.writers, result.checkpoints], [12, 2, 4]);
  const [unchanged, complete] = result.proofs;
  assert.deepEqual([unchanged?.claim, unchanged?.against], ['unchanged', 'whoever lacks the signing key']);
  assert.ok(unchanged?.since && unchanged.until);
  // A checkpoint cannot miss what was cut off together with it.
  assert.deepEqual(complete, { claim: 'complete', since: null, until: null, against: 'nobody' });
  assert.deepEqual(result.witness, { state: 'none', accepted: [] });
});

const attacks: [string, { seq: number; reason: string }, (db: DatabaseSync, writer: string) => void][] = [
  [
    'an edited body',
    { seq: 5, reason: 'edited' },
    (db, writer) =>
      db
        .prepare("update audit_lines set body = replace(body, 'rule-3', 'rule-X') where writer = ? and seq = 5")
        .run(writer),
  ],
  [
    'an edited hash',
    { seq: 5, reason: 'edited' },
    (db, writer) => db.prepare("update audit_lines set hash = 'x' where writer = ? and seq = 5").run(writer),
  ],
  [
    'a line hidden from the search',
    { seq: 5, reason: 'edited' },
    (db, writer) => db.prepare("update audit_lines set turn = 'other' where writer = ? and seq = 5").run(writer),
  ],
  [
    'a line said to be of somebody else',
    { seq: 5, reason: 'edited' },
    (db, writer) => db.prepare("update audit_persons set sub = 'mallory' where writer = ? and seq = 5").run(writer),
  ],
  [
    'what a line says of somebody',
    { seq: 5, reason: 'edited' },
    (db, writer) =>
      db
        .prepare(
          "update audit_persons set sub = 'bob', fields = replace(fields, 'alice', 'bob') where writer = ? and seq = 5",
        )
        .run(writer),
  ],
  [
    'a line hidden from the search for whom it is of',
    { seq: 5, reason: 'edited' },
    (db, writer) => db.prepare('update audit_persons set acting = 0 where writer = ? and seq = 5').run(writer),
  ],
  [
    'a record that a line is not found by any more',
    { seq: 5, reason: 'edited' },
    (db, writer) => db.prepare('delete from audit_records where writer = ? and seq = 5').run(writer),
  ],
  [
    'a deleted line',
    { seq: 4, reason: 'deleted' },
    (db, writer) => db.prepare('delete from audit_lines where writer = ? and seq = 4').run(writer),
  ],
  [
    'a deleted first line',
    { seq: 1, reason: 'deleted' },
    (db, writer) => db.prepare('delete from audit_lines where writer = ? and seq = 1').run(writer),
  ],
  [
    'a deleted line, the rest numbered anew',
    { seq: 4, reason: 'deleted' },
    (db, writer) => {
      db.prepare('delete from audit_lines where writer = ? and seq = 4').run(writer);
      shift(db, writer, 5, -1);
    },
  ],
  [
    'two lines exchanged',
    { seq: 3, reason: 'swapped' },
    (db, writer) => {
      db.prepare('update audit_lines set seq = -1 where writer = ? and seq = 3').run(writer);
      db.prepare('update audit_lines set seq = 3 where writer = ? and seq = 7').run(writer);
      db.prepare('update audit_lines set seq = 7 where writer = ? and seq = -1').run(writer);
    },
  ],
  [
    'two bodies exchanged',
    { seq: 3, reason: 'swapped' },
    (db, writer) => {
      const body = (seq: number) =>
        String(db.prepare('select body from audit_lines where writer = ? and seq = ?').get(writer, seq)?.body);
      const [a, b] = [body(3), body(7)];
      const set = db.prepare('update audit_lines set body = ? where writer = ? and seq = ?');
      set.run(b, writer, 3);
      set.run(a, writer, 7);
    },
  ],
  [
    'a line put in twice',
    { seq: 6, reason: 'duplicated' },
    (db, writer) => {
      shift(db, writer, 6, 1);
      db.prepare(
        `insert into audit_lines select writer, 6, prev, hash, body, at, type, phase, agent, server, session, turn, call,
         jti, request_id, decision, ref, token_jti from audit_lines where writer = ? and seq = 5`,
      ).run(writer);
    },
  ],
  [
    'the end cut off',
    { seq: 9, reason: 'truncated' },
    (db, writer) => db.prepare('delete from audit_lines where writer = ? and seq >= 9').run(writer),
  ],
  [
    'a whole writer removed',
    { seq: 1, reason: 'missing writer' },
    (db, writer) => db.prepare('delete from audit_lines where writer = ?').run(writer),
  ],
  [
    'a chain computed anew after an edit',
    { seq: 2, reason: 'edited' },
    (db, writer) => {
      db.prepare("update audit_lines set body = replace(body, 'rule-3', 'rule-X') where writer = ? and seq = 5").run(
        writer,
      );
      rehash(db, writer);
    },
  ],
];

for (const [title, expected, attack] of attacks) {
  test(`L2 ${title} is found, with the first bad number`, async () => {
    await using fixture = await auditFixture();
    await append(fixture, 10);
    const { writer } = fixture.store;
    await fixture.tamper((db) => attack(db, writer));
    const result = await fixture.audit.verify();
    assert.ok(!result.ok);
    assert.deepEqual({ writer: result.writer, seq: result.seq, reason: result.reason }, { writer, ...expected });
  });
}

test('L2 a checkpoint that was edited, removed or signed by another key is found', async () => {
  for (const [sql, seq] of [
    [`update audit_checkpoints set body = replace(body, '"v":1', '"v":2') where seq = 2`, 2],
    ['delete from audit_checkpoints where seq = 1', 1],
    [`update audit_checkpoints set signature = 'AAAA' where seq = 1`, 1],
    [`update audit_checkpoints set body = 'null' where seq = 2`, 2],
  ] as const) {
    await using fixture = await auditFixture();
    await append(fixture, 3);
    await fixture.restart();
    await fixture.tamper((db) => db.exec(sql));
    const result = await fixture.audit.verify();
    assert.deepEqual(result, { ok: false, writer: 'checkpoint', seq, reason: 'checkpoint' });
  }
});

test('E3 the tail with its checkpoint, or a writer with every checkpoint, deleted: only the witness knows', async () => {
  for (const [attack, reason] of [
    ['delete from audit_lines where seq > 5; delete from audit_checkpoints where seq > 1', 'truncated'],
    ['delete from audit_lines; delete from audit_checkpoints', 'missing writer'],
  ] as const) {
    await using fixture = await auditFixture();
    const witness = witnessOf(fixture);
    await fixture.restart({ witness });
    await append(fixture, 10);
    await fixture.restart({ witness });
    await fixture.tamper((db) => db.exec(attack));
    assert.equal((await fixture.audit.verify()).ok, true);
    const result = await fixture.audit.verify({ witness });
    assert.ok(!result.ok);
    assert.equal(result.reason, reason);
  }
});

test('E4 a log signed anew with the right key after an edit contradicts the witness, which is not overwritten', async () => {
  await using fixture = await auditFixture();
  const witness = witnessOf(fixture);
  await fixture.restart({ witness });
  await append(fixture, 10);
  const { writer } = fixture.store;
  await fixture.tamper((db) => {
    db.prepare("update audit_lines set body = replace(body, 'rule-3', 'rule-X') where writer = ? and seq = 5").run(
      writer,
    );
    rehash(db, writer);
    db.exec('delete from audit_checkpoints');
  });
  assert.equal((await fixture.audit.verify()).ok, true);
  const result = await fixture.audit.verify({ witness });
  assert.ok(!result.ok);
  assert.deepEqual([result.writer, result.reason], [writer, 'edited']);
  assert.ok(result.seq <= 5 && (result.upTo ?? 0) >= 5);
  const before = await witness.read();
  await fixture.restart({ witness });
  assert.equal(fixture.audit.witness, 'contradicts');
  await assert.rejects(fixture.audit.checkpoint(), { code: 'witness_contradicts' });
  assert.deepEqual(await witness.read(), before);
});

test('a witness that cannot be reached is said, and catches up later', async () => {
  await using fixture = await auditFixture();
  const real = witnessOf(fixture);
  let down = true;
  const unreachable = () => Promise.reject(new Error('no route'));
  const witness = {
    place: real.place,
    append: (checkpoint: Parameters<typeof real.append>[0]) => (down ? unreachable() : real.append(checkpoint)),
    read: () => real.read(),
  };
  await fixture.restart({ witness });
  assert.equal(fixture.audit.witness, 'unreachable');
  await append(fixture, 1);
  down = false;
  await fixture.audit.checkpoint();
  assert.equal(fixture.audit.witness, 'agrees');
  assert.equal((await real.read()).length, 3);
  assert.equal((await fixture.audit.verify()).ok, true);
});

test('a witness line that was cut by a power failure is written again, and spoils no other', async () => {
  await using fixture = await auditFixture();
  const witness = witnessOf(fixture);
  await fixture.restart({ witness });
  await append(fixture, 1);
  await fixture.audit.checkpoint();
  const whole = await witness.read();
  assert.ok(whole.length > 1);
  truncateSync(fixture.witnessPath, statSync(fixture.witnessPath).size - 9);
  assert.deepEqual(await witness.read(), whole.slice(0, -1));
  await fixture.restart({ witness });
  assert.equal(fixture.audit.witness, 'agrees');
  const seqs = (await witness.read()).map((entry) => ('seq' in entry ? entry.seq : 0));
  assert.deepEqual(
    seqs,
    seqs.map((_, n) => n + 1),
  );
  assert.equal((await fixture.audit.verify()).ok, true);
});
