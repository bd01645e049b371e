import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planStep } from '../../src/models/demo-planner.ts';
import type { ModelMessage, ModelTool } from '../../src/models/index.ts';

const object = (properties: Record<string, unknown>, required: string[] = []) => ({
  type: 'object',
  properties,
  required,
});
const id = { order_id: { type: 'string' } };
const tools: ModelTool[] = [
  {
    name: 'orders__list_orders',
    description: 'Lists the orders that you have placed, with their status',
    inputSchema: object({}),
  },
  {
    name: 'orders__get_order',
    description: 'Shows the details of one of your orders',
    inputSchema: object(id, ['order_id']),
  },
  {
    name: 'orders__refund_order',
    description: 'Refunds one of your orders and gives the money back',
    inputSchema: object(id, ['order_id']),
  },
  {
    name: 'hr__get_balance',
    description: 'Shows how many days of vacation, holiday and time off you have left',
    inputSchema: object({}),
  },
  {
    name: 'hr__request_time_off',
    description: 'Requests vacation days off from one date to another',
    inputSchema: object({ from: { type: 'string', format: 'date' }, to: { type: 'string', format: 'date' } }, [
      'from',
      'to',
    ]),
  },
];
const plan = (text: string, ...more: ModelMessage[]) => planStep([{ role: 'user', text }, ...more], tools);
const calls = (text: string) => plan(text).calls.map((call) => `${call.name} ${call.arguments}`);

test('tools whose words the message uses are called, the best of each server', () => {
  assert.deepEqual(calls('list my orders'), ['orders__list_orders {}']);
  assert.deepEqual(calls('How many vacation days do I have left?'), ['hr__get_balance {}']);
  assert.deepEqual(calls('show order A-1001'), ['orders__get_order {"order_id":"A-1001"}']);
  assert.deepEqual(calls('please refund order A-1001'), ['orders__refund_order {"order_id":"A-1001"}']);
  assert.deepEqual(calls('request vacation from 2026-12-01 to 2026-12-03'), [
    'hr__request_time_off {"from":"2026-12-01","to":"2026-12-03"}',
  ]);
});

test('a message that fits no tool gets an introduction that says what it is', () => {
  assert.deepEqual(calls('hello'), []);
  assert.match(plan('hello').text, /no language model/);
});

test('details follow a list, once', () => {
  const asked: ModelMessage = {
    role: 'assistant',
    text: '',
    toolCalls: [{ callId: 'c', name: 'orders__list_orders', arguments: '{}' }],
  };
  const listed: ModelMessage = {
    role: 'tool',
    callId: 'c',
    name: 'list_orders',
    output: '[{"id":"A-77"}]',
    isError: false,
  };
  const next = plan('list my orders with details', asked, listed);
  assert.deepEqual(next.calls, [{ name: 'orders__get_order', arguments: '{"order_id":"A-77"}' }]);
  const again: ModelMessage = {
    role: 'assistant',
    text: '',
    toolCalls: [{ callId: 'd', name: 'orders__get_order', arguments: '{}' }],
  };
  const shown: ModelMessage = { role: 'tool', callId: 'd', name: 'get_order', output: '{"id":"A-77"}', isError: false };
  assert.deepEqual(plan('list my orders with details', asked, listed, again, shown).calls, []);
});
