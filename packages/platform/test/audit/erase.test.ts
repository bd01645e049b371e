import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { commitment } from '../../src/audit/persons.ts';
import { type AuditFixture, auditFixture } from './fixture.ts';

const alice = { issuer: 'https://one.example', subject: 'alice-canary' };
const bob = { issuer: 'https://one.example', subject: 'bob' };
const namesake = { issuer: 'https://two.example', subject: 'alice-canary' };
const operator = { issuer: '', subject: 'local-admin' };

async function fill({ audit }: AuditFixture) {
  await audit.append({
    type: 'tool.call',
    phase: 'single',
    principal: { ...alice, sid: 'sid-canary' },
    address: '192.0.2.77',
    turn: 't1',
    tool: { server: 'default/orders', name: 'list', arguments: { note: 'argument-canary' } },
    records: ['4711'],
  });
  await audit.append({ type: 'change', phase: 'single', principal: bob, target: { kind: 'Principal', person: alice } });
  await audit.append({ type: 'decision', phase: 'single', principal: namesake, decision: 'allow' });
}

test('a line holds commitments only: nothing personal is in what is hashed, and the reader gets it all back', async () => {
  await using fixture = await auditFixture();
  await fill(fixture);
  const lines = await fixture.audit.query({});
  const hashed = lines.map(({ body }) => body).join('\n');
  for (const canary of ['alice-canary', 'sid-canary', '192.0.2.77', 'argument-canary', 'bob'])
    assert.ok(!hashed.includes(canary), canary);
  const [, call, change] = lines.map(({ entry }) => entry);
  assert.deepEqual(
    [call?.principal, call?.address, call?.tool?.arguments, change?.principal, change?.target?.person],
    [{ ...alice, sid: 'sid-canary' }, '192.0.2.77', { note: 'argument-canary' }, bob, alice],
  );
});

test('the same person is committed to differently in every line and at every place, so that lines are not joined', async () => {
  await using fixture = await auditFixture();
  for (let n = 0; n < 3; n++)
    await fixture.audit.append({ type: 'change', phase: 'single', principal: alice, data: { writer: alice, n } });
  const seen = (await fixture.audit.query({ type: 'change' })).flatMap(({ body }) => {
    const { principal, data } = JSON.parse(body);
    return [principal.subject, data.writer.subject];
  });
  assert.equal(new Set(seen).size, 6);
  assert.notEqual(commitment('s', '/a', 'x'), commitment('s', '/b', 'x'));
});

test('E5 a person is erased: nothing of them is left in the file, the chain verifies, and others keep theirs', async () => {
  await using fixture = await auditFixture();
  await fill(fixture);
  await fixture.audit.checkpoint();
  const before = (await fixture.audit.query({ limit: 4 })).map(({ hash }) => hash);
  assert.equal(await fixture.audit.erase(alice, operator), 2);
  const result = await fixture.audit.verify();
  assert.ok(result.ok, JSON.stringify(result));
  assert.equal(result.erased, 2);
  const lines = await fixture.audit.query({});
  assert.deepEqual(
    lines.slice(0, 4).map(({ hash }) => hash),
    before,
  );
  assert.equal((await fixture.audit.query({ iss: alice.issuer, sub: alice.subject })).length, 0);
  assert.equal((await fixture.audit.query({ iss: namesake.issuer, sub: namesake.subject })).length, 1);
  const [, call, change] = lines.map(({ entry }) => entry);
  assert.deepEqual(
    [call?.principal?.subject, call?.principal?.sid, call?.address, call?.tool?.arguments, call?.tool?.name],
    ['[erased]', '[erased]', '[erased]', '[erased]', 'list'],
  );
  assert.deepEqual([change?.principal?.subject, change?.target?.person?.subject], ['bob', '[erased]']);
  // Which record was read, and by which turn, is still answered.
  assert.equal((await fixture.audit.query({ record: '4711' })).length, 1);
  const erasure = lines.at(-1)?.entry;
  assert.deepEqual([erasure?.type, erasure?.data?.persons, erasure?.principal], ['erase', 2, operator]);
  await fixture.restart();
  const file = readFileSync(fixture.path).toString('latin1');
  for (const canary of ['sid-canary', '192.0.2.77', 'argument-canary']) assert.ok(!file.includes(canary), canary);
  assert.equal((await fixture.audit.verify()).ok, true);
});

test('E5 somebody who asks for their own erasure is not written down again by it', async () => {
  await using fixture = await auditFixture();
  await fill(fixture);
  assert.equal(await fixture.audit.erase(alice, alice), 2);
  assert.equal((await fixture.audit.query({ sub: alice.subject })).length, 1, 'the namesake of another issuer');
});

test('L2 what stands beside lines, removed without an erasure, is found; with one that says fewer, too', async () => {
  await using fixture = await auditFixture();
  await fill(fixture);
  await fixture.audit.erase(bob, operator);
  await fixture.tamper((db) => db.prepare('delete from audit_persons where sub = ?').run(alice.subject));
  assert.deepEqual(await fixture.audit.verify(), {
    ok: false,
    writer: 'persons',
    seq: 3,
    reason: 'removed without an erasure',
  });
});
