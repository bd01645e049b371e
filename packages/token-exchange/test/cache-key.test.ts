import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SecretValue } from '@onbehalf/secret-value';
import fc from 'fast-check';
import { actorPart, cacheKey, clientPart, encodeList, servicePart } from '../src/cache-key.ts';
import { type Call, CallKeys } from '../src/call.ts';
import { prepareTarget } from '../src/target.ts';

const text = fc.string({ maxLength: 6 });
const maybe = fc.option(text, { nil: undefined });
const texts = fc.uniqueArray(text, { maxLength: 4 });

const inputs = fc.record({
  installation: maybe,
  service: text,
  issuer: text,
  endpoint: maybe,
  jwksUri: maybe,
  profile: fc.constantFrom('rfc8693' as const, 'onbehalf' as const),
  delegation: fc.constantFrom('act' as const, 'azp' as const, 'none' as const),
  requestedTokenType: maybe,
  connectorId: maybe,
  subjectTokenType: maybe,
  actorTokenType: maybe,
  maxLifetime: fc.nat(500),
  opaque: fc.constantFrom('Refuse' as const, 'Accept' as const),
  introspect: fc.boolean(),
  auth: fc.constantFrom('SecretBasic' as const, 'SecretPost' as const),
  clientId: text,
  keyId: text,
  actor: fc.option(
    fc.record({
      iss: text,
      sub: text,
      uid: maybe,
      chain: fc.option(fc.array(text, { maxLength: 3 }), { nil: undefined }),
    }),
    { nil: undefined },
  ),
  actorType: maybe,
  actorHash: maybe,
  audience: texts,
  resource: texts,
  scopes: texts,
  extra: texts,
  kind: fc.constantFrom('exchange' as const, 'delegation' as const, 'workload' as const),
  agentUid: maybe,
  agentName: maybe,
  session: maybe,
  principal: fc.option(fc.record({ issuer: text, subject: text }), { nil: undefined }),
  subjectHash: maybe,
  subjectType: maybe,
  delegate: maybe,
  keyThumbprint: maybe,
});

type Inputs = typeof inputs extends fc.Arbitrary<infer T> ? T : never;

function keyOf(i: Inputs): string {
  const client = { auth: i.auth, id: i.clientId, keyId: i.keyId, secret: () => assert.fail('never asked for') };
  const { issuer, endpoint, jwksUri, requestedTokenType, connectorId, subjectTokenType, actorTokenType } = i;
  const service = {
    name: i.service,
    issuer,
    profile: i.profile,
    client,
    opaque: i.opaque,
    introspect: i.introspect,
    ...(endpoint !== undefined && { endpoint }),
    ...(jwksUri !== undefined && { jwksUri }),
    ...(requestedTokenType !== undefined && { requestedTokenType }),
    ...(connectorId !== undefined && { connectorId }),
    ...(subjectTokenType !== undefined && { subjectTokenType }),
    ...(actorTokenType !== undefined && { actorTokenType }),
  };
  const actor = i.actor && {
    iss: i.actor.iss,
    sub: i.actor.sub,
    ...(i.actor.uid !== undefined && { agentUid: i.actor.uid }),
    ...(i.actor.chain !== undefined && { chain: i.actor.chain }),
  };
  return cacheKey(
    servicePart(i.installation, service, i.delegation, i.maxLifetime),
    clientPart(client),
    actorPart(actor, i.actorType, i.actorHash),
    [i.audience, i.resource, i.scopes, i.extra].map(encodeList).join(''),
    i,
  );
}

/** Only what reaches the key, with sets in one order: two inputs are the same exactly when this is equal. */
function meaning(i: Inputs): string {
  const sets = { audience: i.audience, resource: i.resource, scopes: i.scopes, extra: i.extra };
  const sorted = Object.fromEntries(Object.entries(sets).map(([name, values]) => [name, [...values].sort()]));
  const silent = i.actor === undefined ? { actorType: undefined, actorHash: undefined } : {};
  return JSON.stringify({ ...i, ...silent, ...sorted }, (_, value) =>
    value === undefined ? 'absent' : value === 'absent' ? '"absent"' : value,
  );
}

test('a change of any one input changes the key', () => {
  fc.assert(
    fc.property(inputs, inputs, fc.nat(), (a, b, at) => {
      const names = Object.keys(a) as (keyof Inputs)[];
      const name = names[at % names.length] ?? 'session';
      const changed = { ...a, [name]: b[name] };
      assert.equal(keyOf(a) === keyOf(changed), meaning(a) === meaning(changed), name);
    }),
    { numRuns: 2000 },
  );
});

test('no two different inputs meet, however their values are cut', () => {
  const short = fc.constantFrom('', '1', '1:', 'a', '2:ab', 'b', '-', '0;', '1;1:a');
  const sets = fc.uniqueArray(short, { maxLength: 3 });
  fc.assert(
    fc.property(
      fc.array(sets, { minLength: 4, maxLength: 4 }),
      fc.array(sets, { minLength: 4, maxLength: 4 }),
      (a, b) => {
        const same =
          JSON.stringify(a.map((set) => [...set].sort())) === JSON.stringify(b.map((set) => [...set].sort()));
        assert.equal(a.map(encodeList).join('') === b.map(encodeList).join(''), same);
      },
    ),
    { numRuns: 2000 },
  );
});

test('the order of audiences, resources and scopes does not matter, the order of a chain does', () => {
  fc.assert(
    fc.property(inputs, (a) => {
      const turned = {
        ...a,
        audience: a.audience.toReversed(),
        resource: a.resource.toReversed(),
        scopes: a.scopes.toReversed(),
      };
      assert.equal(keyOf(a), keyOf(turned));
    }),
  );
  const chain = (...chain: string[]) => actorPart({ iss: 'i', sub: 's', chain }, undefined, undefined);
  assert.notEqual(chain('a', 'b'), chain('b', 'a'));
});

test('a remembered key is the one that would be made anew', () => {
  const tokens = ['one', 'two'].map((value) => SecretValue.of(value));
  const client = { auth: 'SecretPost' as const, id: 'c', keyId: '1', secret: SecretValue.of('s') };
  const clients = [client, { ...client, id: 'd' }];
  const targets = [['a'], ['b']].map((audience) => prepareTarget({ audience, resource: [], scopes: [] }));
  const identities = ['x', 'y'].map((sub) => ({ iss: 'i', sub }));
  const few = fc.constantFrom('a', 'b', undefined);
  const calls = fc.record({
    kind: fc.constantFrom('exchange' as const, 'delegation' as const),
    target: fc.constantFrom(...targets),
    client: fc.constantFrom(...clients),
    token: fc.constantFrom(0, 1),
    tokenType: fc.constantFrom('t', 'u'),
    principal: fc.record({ issuer: fc.constantFrom('i', 'j'), subject: fc.constantFrom('s', 't') }),
    agent: fc.option(fc.record({ uid: fc.constantFrom('a', 'b'), name: fc.constantFrom('a', 'b') }), {
      nil: undefined,
    }),
    actorIdentity: fc.constantFrom(...identities, undefined),
    actorHash: few,
    session: few,
    delegate: few,
  });
  const make = () => new CallKeys('i', { name: 's', profile: 'onbehalf', client, issuer: 'https://h' }, 'act', 300);
  fc.assert(
    fc.property(fc.array(calls, { minLength: 30, maxLength: 60 }), (list) => {
      const keys = make();
      for (const { token: at, tokenType, ...rest } of list) {
        const token = tokens[at] ?? assert.fail();
        const call: Call = {
          ...rest,
          subject: { token, tokenType, expiresAt: undefined },
          subjectHash: String(at),
          loginSession: undefined,
          actor: undefined,
          context: undefined,
          signal: undefined,
          refresh: false,
          rejected: undefined,
          mark: 0,
        };
        assert.equal(
          keys.of(call),
          make().of({ ...call, subject: { token: SecretValue.of('z'), tokenType, expiresAt: undefined } }),
        );
      }
    }),
    { numRuns: 50 },
  );
});
