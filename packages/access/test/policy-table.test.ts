import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Action, compileTable, createPolicyTable, decide, type Principal } from '../src/index.ts';
import type { PolicyGrant, PolicyResource, Verb } from '../src/policy.ts';

const ISSUER = 'https://people';
const people = ['alice', 'bob'].map(
  (subject): Principal => ({
    ...{ issuer: ISSUER, subject, kind: 'person', role: 'REGULAR', groupsUnknown: false, delegated: false },
    groups: subject === 'alice' ? ['finance'] : [],
    credential: { kind: 'bearer' },
  }),
);
const uids = ['a1', 'a2', 'a3', 's1'];
const resourceOf = (uid: string, enabled: boolean): PolicyResource => ({
  ...{ kind: uid.startsWith('a') ? 'Agent' : 'RemoteMCPServer', namespace: 'default', name: uid, uid, enabled },
});

const grant = fc.record({
  uid: fc.constantFrom('g1', 'g2', 'g3', 'g4', 'g5'),
  to: fc.constantFrom<PolicyGrant['to']>(
    { principal: { issuer: ISSUER, subject: 'alice' } },
    { principal: { issuer: ISSUER, subject: 'bob' } },
    { group: { issuer: ISSUER, name: 'finance' } },
    { role: 'REGULAR' },
    { everyone: { issuer: ISSUER } },
  ),
  on: fc.constantFrom<PolicyGrant['on']>(
    ...uids.map((uid) => ({ kind: uid.startsWith('a') ? 'Agent' : 'RemoteMCPServer', uid })),
    { namespace: 'default' },
  ),
  verbs: fc.constantFrom<readonly Verb[]>(['read'], ['run'], ['use'], ['admin']),
});
const step = fc.oneof(
  fc.record({ put: fc.constantFrom(...uids), enabled: fc.boolean() }),
  fc.record({ grant }),
  fc.record({ gone: fc.constantFrom(...uids, 'g1', 'g2', 'g3', 'g4', 'g5') }),
  fc.record({ off: fc.subarray(['alice', 'bob']) }),
);

test('a table that is kept up to date decides as one that is made anew, after any changes in any order', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const resources = new Map<string, PolicyResource>();
      const grants = new Map<string, PolicyGrant>();
      let disabled: { issuer: string; subject: string }[] = [];
      const { table, change } = createPolicyTable({ revision: 0, resources: [], grants: [] });
      steps.forEach((one, index) => {
        const revision = index + 1;
        if ('put' in one) {
          const resource = resourceOf(one.put, one.enabled);
          resources.set(one.put, resource);
          change({ revision, resources: [resource] });
        } else if ('grant' in one) {
          grants.set(one.grant.uid, one.grant);
          change({ revision, grants: [one.grant] });
        } else if ('gone' in one) {
          resources.delete(one.gone);
          grants.delete(one.gone);
          change({ revision, removed: [one.gone] });
        } else {
          disabled = one.off.map((subject) => ({ issuer: ISSUER, subject }));
          change({ revision, disabled });
        }
      });
      const anew = compileTable({
        ...{ revision: steps.length, resources: resources.values(), grants: grants.values(), disabled },
      });
      const answers = (asked: typeof table) =>
        people.flatMap((principal) =>
          uids.flatMap((uid) =>
            (['read', 'run', 'use', 'write'] as Action[]).map((action) =>
              decide(asked, principal, action, { kind: resourceOf(uid, true).kind, uid }, { door: 'api', now: 0 }),
            ),
          ),
        );
      assert.deepEqual(answers(table), answers(anew));
      assert.equal(table.revision, anew.revision);
      assert.deepEqual([...table.names.keys()].sort(), [...anew.names.keys()].sort());
      assert.deepEqual(
        [...table.onResource.keys()].sort(),
        [...anew.onResource.keys()].sort(),
        'nothing empty is kept',
      );
    }),
    { numRuns: 500 },
  );
});
