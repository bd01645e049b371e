import assert from 'node:assert/strict';
import { get } from 'node:http';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { say, startWorld, type World } from './world.ts';

describe('ready means that it works now', () => {
  let world: World;
  before(async () => {
    world = await startWorld();
  });
  after(() => world[Symbol.asyncDispose]());

  const ready = async () => {
    const answer = await fetch(`${world.url}/readyz`);
    return {
      status: answer.status,
      body: (await answer.json()) as { reason?: string },
      retry: answer.headers.get('retry-after'),
    };
  };
  async function until(status: number) {
    for (let tries = 0; ; tries++) {
      const now = await ready();
      if (now.status === status) return now;
      if (tries === 200) assert.fail(`still ${now.status}`);
      await wait(50);
    }
  }

  test('L3 a store that cannot be written is not ready, whatever can still be read; and it is again without a restart', async () => {
    assert.equal((await ready()).status, 200);
    const lock = new DatabaseSync(join(world.dataDir, 'onbehalf.db'));
    lock.exec('BEGIN IMMEDIATE');
    try {
      const refused = await until(503);
      assert.equal(refused.body.reason, 'the store cannot be written');
      assert.ok(refused.retry);
      assert.equal((await fetch(`${world.url}/healthz`)).status, 200, 'the process lives');
    } finally {
      lock.exec('ROLLBACK');
      lock.close();
    }
    await until(200);
  });

  test('while the server drains it is not ready, and what runs goes on', async () => {
    const alice = await world.token('alice');
    const { body: session } = await world.as<{ id: string }>(alice, 'POST', '/agents/assistant/sessions', {});
    const turn = say(world, alice, 'what can you do for me !slow', session.id);
    await wait(150);
    const closing = world.server.close();
    const drained = await ready();
    assert.deepEqual([drained.status, drained.body.reason], [503, 'shutting down']);
    assert.equal((await turn).body.state, 'completed');
    await closing;
  });
});

describe('a stream asks its own question again', () => {
  let world: World;
  before(async () => {
    world = await startWorld();
  });
  after(() => world[Symbol.asyncDispose]());

  test('I7 who was ADMIN reads somebody else’s live conversation no further, and the owner does', async () => {
    const [alice, root] = await Promise.all([world.token('alice'), world.token('root')]);
    const { body: session } = await world.as<{ id: string }>(alice, 'POST', '/agents/assistant/sessions', {});
    await say(world, alice, 'hello', session.id);
    const follow = (token: string, query: string) => {
      const text = { value: '', ended: false, status: 0 };
      const path = `/api/agents/assistant/sessions/${session.id}/events${query}`;
      const request = get(`${world.url}${path}`, {
        headers: { accept: 'text/event-stream', authorization: `Bearer ${token}` },
      });
      request.on('response', (response) => {
        text.status = response.statusCode ?? 0;
        response.setEncoding('utf8').on('data', (part: string) => {
          text.value += part;
        });
        response.once('close', () => {
          text.ended = true;
        });
      });
      request.on('error', () => undefined);
      return { text, close: () => request.destroy() };
    };
    const without = follow(root, '');
    const reader = follow(root, '?reason=a%20support%20case');
    const owner = follow(alice, '');
    for (
      let tries = 0;
      (!reader.text.value.includes('hello') || !owner.text.value.includes('hello')) && tries < 100;
      tries++
    )
      await wait(20);
    assert.equal(without.text.status, 403, 'not without a reason');
    assert.ok(reader.text.value.includes('hello'));

    const changed = performance.now();
    assert.equal(
      (await world.admin('PATCH', '/principals', { issuer: world.url, subject: 'root', role: 'REGULAR' })).status,
      204,
    );
    while (!reader.text.ended && performance.now() - changed < 2_000) await wait(10);
    assert.ok(reader.text.ended, 'the stream goes on');
    assert.ok(performance.now() - changed < 1_000);
    const seen = reader.text.value;
    await say(world, alice, 'a secret for later', session.id);
    for (let tries = 0; !owner.text.value.includes('a secret for later') && tries < 100; tries++) await wait(20);
    assert.ok(owner.text.value.includes('a secret for later'));
    assert.equal(reader.text.value, seen);
    assert.equal(seen.includes('a secret for later'), false);
    assert.equal(owner.text.ended, false);
    owner.close();
  });
});
