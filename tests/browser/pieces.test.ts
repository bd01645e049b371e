import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseDocuments, type SessionEvent } from '@onbehalf/resources';
import fc from 'fast-check';
import { resourceYaml } from '../../packages/console/src/api/yaml.ts';
import { addEvents, emptyTranscript, isRunning } from '../../packages/console/src/chat/transcript.ts';

const head = { v: 1, session: 's', turn: 't', at: '2026-11-22T12:00:00Z' } as const;
const usage = { inputTokens: 4, outputTokens: 3, totalTokens: 7, cachedInputTokens: 0 };
const names = { server: 'orders', tool: 'list_orders' };
const EVENTS: SessionEvent[] = [
  {
    ...head,
    seq: 1,
    type: 'turn.started',
    data: { door: 'api', principal: { issuer: 'i', subject: 'alice' }, agent: 'default/a', agentGeneration: 1 },
  },
  { ...head, seq: 2, type: 'message', messageId: 'u', data: { role: 'user', text: 'Hello' } },
  { ...head, seq: 3, type: 'delta', messageId: 'm', data: { text: 'Let me ' } },
  { ...head, seq: 4, type: 'delta', messageId: 'm', data: { text: 'look' } },
  { ...head, seq: 5, type: 'message', messageId: 'm', data: { role: 'assistant', text: 'Let me look' } },
  { ...head, seq: 6, type: 'tool.call', callId: 'c', data: { ...names, name: 'orders__list_orders', arguments: {} } },
  { ...head, seq: 7, type: 'tool.sent', callId: 'c', data: names },
  {
    ...head,
    seq: 8,
    type: 'exchange',
    callId: 'c',
    data: { server: 'orders', mode: 'Exchange', result: 'exchanged', ms: 9 },
  },
  { ...head, seq: 9, type: 'tool.result', callId: 'c', data: { ...names, isError: false, output: '[]', ms: 12 } },
  { ...head, seq: 10, type: 'message', messageId: 'n', data: { role: 'assistant', text: '' } },
  { ...head, seq: 11, type: 'usage', data: { ...usage, model: 'demo' } },
  { ...head, seq: 12, type: 'turn.ended', data: { state: 'completed' } },
];

test('a conversation is the same, however its events arrive: in pieces, twice, or without the pruned deltas', () => {
  const whole = addEvents(emptyTranscript, EVENTS);
  fc.assert(
    fc.property(fc.array(fc.nat(EVENTS.length), { maxLength: 6 }), (cuts) => {
      let transcript = emptyTranscript;
      // After each cut the log begins again somewhat before what is known.
      for (const end of [...cuts.sort((a, b) => a - b), EVENTS.length])
        transcript = addEvents(transcript, EVENTS.slice(Math.max(0, transcript.lastSeq - 3), end));
      assert.deepEqual(transcript, whole);
    }),
  );
  const pruned = EVENTS.filter(({ type }) => type !== 'delta');
  assert.deepEqual(addEvents(emptyTranscript, pruned), whole);
});

test('what is written so far is there before its end, and a turn that has not ended is running', () => {
  const [turn] = addEvents(emptyTranscript, EVENTS.slice(0, 4)).turns;
  assert.ok(turn && isRunning(turn));
  assert.deepEqual(turn.parts, [{ kind: 'text', id: 'm', text: 'Let me look', final: false, truncated: false }]);
});

test('turns that did not change are not drawn again', () => {
  const before = addEvents(emptyTranscript, EVENTS);
  const after = addEvents(before, [
    { ...head, seq: 13, turn: 'u', type: 'warning', data: { code: 'w', message: 'm' } },
  ]);
  assert.equal(after.turns[0], before.turns[0]);
  assert.equal(addEvents(after, EVENTS), after);
});

const metadata = {
  name: 'a',
  namespace: 'default',
  uid: 'u',
  generation: 1,
  resourceVersion: '1',
  managedBy: 'api',
} as const;

/** Through the server's own reading of documents, which refuses what is not what it says. */
function readBack(kind: string, spec: object): unknown {
  const text = resourceYaml({ apiVersion: 'onbehalf.dev/v1alpha1', kind, metadata, spec });
  const { documents, errors } = parseDocuments(text);
  assert.deepEqual(errors, [], text);
  return documents[0]?.input.spec;
}

test('the YAML that is shown says what the resource says', () => {
  const written = (value: unknown) => ({
    provider: 'Demo',
    model: 'demo',
    parameters: { value, list: [value, [value]] },
  });
  const same = (value: unknown) => assert.deepEqual(readBack('ModelConfig', written(value)), written(value));
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 3 }), (value) => {
      fc.pre(!JSON.stringify(value).includes('__proto__'));
      same(JSON.parse(JSON.stringify(value)));
    }),
  );
  const texts = [
    'a\nb',
    'a\nb\n',
    ' a\nb',
    'a\n\n b\n',
    'no',
    '1e3',
    '# x',
    'a: b',
    '- a',
    '\u0007\nx',
    'a\n\n\n',
    "it's",
  ];
  for (const text of texts) same({ text, [text]: [{ text }] });
});

test('the YAML of an agent can be applied as it is', () => {
  const declarative = { systemMessage: 'One.\nTwo: three\n', tools: [] };
  const spec = { type: 'Declarative', description: 'yes', declarative };
  assert.deepEqual(readBack('Agent', spec), spec);
});
