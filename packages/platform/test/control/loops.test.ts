import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkDocument, type ResourceInput } from '@onbehalf/resources';
import { check, type World } from '../../src/control/checks.ts';

const COUNT = 20_000;

const agent = (name: string, next: string | undefined): ResourceInput => {
  const checked = checkDocument({
    ...{ apiVersion: 'onbehalf.dev/v1alpha1', kind: 'Agent', metadata: { name } },
    spec: {
      type: 'Declarative',
      declarative: {
        ...{ systemMessage: 'Be brief.', modelConfigRef: { name: 'default' } },
        tools: next === undefined ? [] : [{ type: 'Agent', agent: { name: next } }],
      },
    },
  });
  assert.ok('input' in checked);
  return checked.input;
};

/** A row of agents, each calling the next one. */
const row = (last: string | undefined) => {
  const agents = new Map(
    Array.from({ length: COUNT }, (_, n) => [`a${n}`, agent(`a${n}`, n + 1 < COUNT ? `a${n + 1}` : last)]),
  );
  const nothing = () => undefined;
  return {
    embedded: { issuer: 'https://onbehalf.example', doorAudiences: [] },
    server: nothing,
    tokenService: nothing,
    issuers: () => [],
    agent: (_namespace: string, name: string) => agents.get(name),
  } as unknown as World;
};

test('agents that call one another in a circle are found however long it is, and a row that ends is none', () => {
  assert.deepEqual(check(agent('first', 'a0'), row(undefined)), []);
  assert.deepEqual(check(agent('first', 'a0'), row('first')), [
    { path: 'spec.declarative.tools', message: 'leads back to this agent: take the loop out' },
  ]);
  assert.deepEqual(check(agent('first', 'a0'), row('a7')), [], 'another circle is the mistake of those in it');
});
