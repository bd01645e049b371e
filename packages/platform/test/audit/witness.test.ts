import assert from 'node:assert/strict';
import { appendFileSync, copyFileSync, readFileSync, rmSync } from 'node:fs';
import { test } from 'node:test';
import { type AuditFixture, auditFixture, witnessOf } from './fixture.ts';

const operator = { issuer: '', subject: 'local-admin' };
const append = async ({ audit }: AuditFixture, count: number) => {
  for (let n = 0; n < count; n++) await audit.append({ type: 'decision', phase: 'single', rule: `rule-${n}` });
};

test('E3 with a witness it is proven that nothing is missing, against whoever cannot write it, and its owner is named', async () => {
  await using fixture = await auditFixture();
  const witness = witnessOf(fixture);
  await fixture.restart({ witness });
  await append(fixture, 3);
  await fixture.audit.checkpoint();
  await append(fixture, 3);
  const result = await fixture.audit.verify();
  assert.ok(result.ok);
  const against = `whoever cannot write ${fixture.witnessPath}, so not against the account with uid ${process.getuid?.()}, who owns it`;
  const [signed, witnessed, complete] = result.proofs;
  assert.deepEqual([signed?.claim, signed?.against], ['unchanged', 'whoever lacks the signing key']);
  assert.deepEqual([witnessed?.claim, witnessed?.against], ['unchanged', against]);
  assert.deepEqual([complete?.claim, complete?.against, complete?.until], ['complete', against, signed?.until]);
});

test('a witness that holds nothing, or cannot be read, proves nothing and is said', async () => {
  await using fixture = await auditFixture();
  await append(fixture, 3);
  const empty = await fixture.audit.verify({ witness: witnessOf(fixture) });
  assert.ok(empty.ok);
  assert.deepEqual([empty.witness.state, empty.proofs.at(-1)?.against], ['empty', 'nobody']);
  const down = {
    place: 'far away',
    append: () => Promise.reject(new Error()),
    read: () => Promise.reject(new Error()),
  };
  const unreachable = await fixture.audit.verify({ witness: down });
  assert.ok(unreachable.ok);
  assert.deepEqual([unreachable.witness.state, unreachable.proofs.at(-1)?.against], ['unreachable', 'nobody']);
});

async function restored(): Promise<AuditFixture> {
  const fixture = await auditFixture();
  const witness = witnessOf(fixture);
  await fixture.restart({ witness });
  await append(fixture, 3);
  await fixture.restart({ witness });
  const backup = `${fixture.path}.backup`;
  await fixture.tamper((db) => db.exec(`vacuum into '${backup}'`), { witness });
  await append(fixture, 5);
  await fixture.audit.checkpoint();
  await fixture.tamper(
    (db) => {
      db.close();
      copyFileSync(backup, fixture.path);
      db.open();
    },
    { witness },
  );
  return fixture;
}

test('E3 after a restore the witness contradicts until an administrator says why; then it follows the store again', async () => {
  await using fixture = await restored();
  const witness = witnessOf(fixture);
  assert.equal(fixture.audit.witness, 'contradicts');
  assert.equal((await fixture.audit.verify()).ok, false);
  const accepted = await fixture.audit.acceptWitness(operator, 'restored the backup of Friday');
  assert.deepEqual([accepted.by, accepted.reason], ['local-admin', 'restored the backup of Friday']);
  assert.equal(fixture.audit.witness, 'agrees');
  const result = await fixture.audit.verify();
  assert.ok(result.ok, JSON.stringify(result));
  assert.deepEqual(result.witness.accepted, [accepted]);
  const [line] = await fixture.audit.query({ type: 'change' });
  assert.deepEqual([line?.entry.outcome, line?.entry.reason], ['restored store accepted', accepted.reason]);
  await fixture.restart({ witness });
  assert.equal(fixture.audit.witness, 'agrees');
  await assert.rejects(fixture.audit.acceptWitness(operator, 'again'), { code: 'witness_agrees' });
  // What was accepted holds for that moment: lines cut afterwards are missed again.
  await append(fixture, 3);
  await fixture.tamper((db) => db.exec('delete from audit_lines where seq > 2'), { witness });
  assert.equal((await fixture.audit.verify()).ok, false);
});

test('E4 an acceptance that nobody signed, or that was signed for another moment, counts for nothing', async () => {
  await using fixture = await restored();
  const forged = { v: 1, keyId: 'test', at: '2026-01-01T00:00:00.000Z', from: 1, by: 'x', reason: 'x', last: '' };
  appendFileSync(fixture.witnessPath, `${JSON.stringify({ accept: JSON.stringify(forged), signature: 'AAAA' })}\n`);
  assert.equal((await fixture.audit.verify()).ok, false);
  await fixture.audit.acceptWitness(operator, 'restored');
  const genuine = readFileSync(fixture.witnessPath, 'utf8')
    .split('\n')
    .findLast((text) => text.includes('accept'));
  assert.equal((await fixture.audit.verify()).ok, true);
  await append(fixture, 3);
  const { writer } = fixture.store;
  const witness = witnessOf(fixture);
  await fixture.tamper((db) => db.prepare('delete from audit_lines where writer = ? and seq > 2').run(writer), {
    witness,
  });
  appendFileSync(fixture.witnessPath, `${genuine}\n`);
  assert.equal((await fixture.audit.verify()).ok, false);
});

test('a witness file that is gone is begun anew with every checkpoint that the store has', async () => {
  await using fixture = await auditFixture();
  const witness = witnessOf(fixture);
  await fixture.restart({ witness });
  await append(fixture, 1);
  await fixture.tamper(() => rmSync(fixture.witnessPath), { witness });
  const result = await fixture.audit.verify();
  assert.ok(result.ok);
  assert.equal((await witness.read()).length, result.checkpoints);
});
