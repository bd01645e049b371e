import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SubjectSource } from '@onbehalf/token-exchange';
import { assistant, client, orders, refusedAs, researcher, setup } from './setup.ts';

test('an agent asks with an assertion of the platform, discovery with the client itself', async () => {
  await using s = await setup();
  const exchange = s.exchange({}, { workload: s.service.workload });
  const ofAgent = await exchange.workloadToken({ agent: assistant, target: orders });
  const ofPlatform = await exchange.workloadToken({ agent: 'platform', target: orders });
  assert.equal(ofAgent.claims?.sub, 'agent:default/assistant');
  assert.equal(ofAgent.claims?.act, undefined);
  assert.equal(ofPlatform.claims?.sub, 'client:platform');
  assert.deepEqual(
    s.service.requests.map(({ form }) => form.get('grant_type')),
    ['urn:ietf:params:oauth:grant-type:jwt-bearer', 'client_credentials'],
  );
  assert.equal((await exchange.workloadToken({ agent: assistant, target: orders })).cached, true);
  assert.equal((await exchange.workloadToken({ agent: researcher, target: orders })).cached, false);
  assert.deepEqual([exchange.stats.workloads, exchange.stats.exchanges], [3, 0]);
  assert.deepEqual(
    s.outcomes.map(({ kind, principal }) => [kind, principal]),
    Array(3).fill(['workload', undefined]),
  );
});

test('X6 a workload token of somebody else is refused', async () => {
  await using s = await setup();
  const exchange = s.exchange({}, { workload: s.service.workload });
  for (const agent of [assistant, 'platform'] as const) {
    for (const [anomaly, deviation] of [
      ['other_subject', 'subject'],
      ['wrong_audience', 'audience'],
      ['other_act', 'actor'],
    ] as const) {
      s.service.next(anomaly);
      await assert.rejects(
        exchange.workloadToken({ agent, target: orders }),
        refusedAs('untrusted_response', deviation),
      );
    }
  }
});

test('without a source of assertions the embedded service is not asked for an agent; others get client credentials', async () => {
  await using s = await setup();
  const refused = s.exchange().workloadToken({ agent: assistant, target: orders });
  await assert.rejects(refused, refusedAs('invalid_request_configuration'));
  assert.equal(s.service.counts.token, 0);
  await s.exchange({ profile: 'rfc8693' }).workloadToken({ agent: assistant, target: orders });
  assert.equal(s.service.requests[0]?.form.get('grant_type'), 'client_credentials');
});

test('a parent delegates to a child: the child exchanges, and the tool server sees the whole chain', async () => {
  await using s = await setup();
  const exchange = s.exchange();
  const alice = await s.service.user('alice');
  const delegation = await exchange.delegationToken({
    subject: alice,
    session: 's',
    delegate: `agent:${researcher.name}`,
  });
  const form = s.service.requests[0]?.form;
  assert.deepEqual(
    ['audience', 'requested_token_type', 'delegate'].map((name) => form?.get(name)),
    [s.service.issuer, 'urn:onbehalf:token-type:delegation', 'agent:default/researcher'],
  );
  assert.equal(delegation.claims?.may_act?.sub, 'agent:default/researcher');
  const child: SubjectSource = {
    principal: alice.principal,
    refreshable: false,
    current: async () => ({ token: delegation.value, tokenType: delegation.type, expiresAt: delegation.expiresAt }),
  };
  const actor = s.service.actor({ ...researcher, chain: [`agent:${assistant.name}`] });
  const token = await exchange.token({ subject: child, target: orders, agent: researcher, actor });
  assert.deepEqual(s.outcomes.at(-1)?.actors, ['agent:default/researcher', 'agent:default/assistant']);
  assert.equal(token.claims?.sub, 'alice');
  s.service.next('lost_chain');
  const lost = exchange.token({ subject: child, session: 'b', target: orders, agent: researcher, actor });
  await assert.rejects(lost, refusedAs('untrusted_response', 'actor'));
  assert.deepEqual([exchange.stats.delegations, exchange.stats.exchanges], [1, 1]);
});

test('who has given up already gets nothing', async () => {
  await using s = await setup();
  const subject = await s.service.user('alice');
  const exchange = s.exchange({}, { workload: s.service.workload });
  const signal = AbortSignal.abort();
  for (const asked of [
    () => exchange.delegationToken({ subject, delegate: 'agent:default/x', signal }),
    () => exchange.token({ subject, target: orders, signal }),
    () => exchange.workloadToken({ agent: 'platform', target: orders, signal }),
  ]) {
    await assert.rejects(asked, { name: 'AbortError' });
  }
  assert.equal(s.service.counts.token, 0);
});

test('a delegation token for another child, or of another kind, is refused', async () => {
  await using s = await setup();
  const subject = await s.service.user('alice');
  const ask = () => s.exchange().delegationToken({ subject, delegate: `agent:${researcher.name}` });
  s.service.next(({ claims }) => {
    claims.may_act = { sub: 'agent:default/other' };
  });
  await assert.rejects(ask(), refusedAs('untrusted_response', 'may_act'));
  s.service.next((issue) => {
    issue.typ = 'at+jwt';
  });
  await assert.rejects(ask(), refusedAs('untrusted_response', 'typ'));
  const elsewhere = s.exchange({ profile: 'rfc8693' }).delegationToken({ subject, delegate: 'agent:default/other' });
  await assert.rejects(elsewhere, refusedAs('invalid_request_configuration'));
});

test('one client per agent: the agent is named as the authorized party', async () => {
  const clients = ['platform', 'assistant'].map((id) => ({ id, secret: 'platform-secret' }));
  await using s = await setup({ clients });

  const own = { ...client, id: 'assistant' };
  const clientPerAgent = [{ agent: assistant.name, client: own }];
  const exchange = s.exchange({ profile: 'rfc8693', delegation: 'azp', clientPerAgent });
  const subject = await s.service.user('alice');
  const token = await exchange.token({ subject, target: orders });
  assert.equal(token.claims?.azp, 'assistant');
  const other = exchange.token({ subject, target: orders, agent: researcher });
  await assert.rejects(other, refusedAs('invalid_request_configuration'));
});
