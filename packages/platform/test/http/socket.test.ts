import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../control/fixture.ts';
import { startDoors } from './doors.ts';

test('an upgrade is answered by itself: 401, 403, 404, and another person’s session is not there', async () => {
  await using d = await startDoors();
  const alice = await d.bearer('alice');
  const own = await d.socket(alice);
  const { session } = await own.frame('session');
  assert.equal((await d.socket({})).refused, 401);
  assert.equal((await d.socket(await d.bearer('rita', 'RESTRICTED'))).refused, 403);
  assert.equal((await d.socket(await d.bearer('carol'))).refused, 404);
  assert.equal((await d.socket({ ...alice, host: 'evil.example' })).refused, 421);
  assert.equal((await d.socket(await d.bearer('bob'), `protocol=2&session=${session}`)).refused, 404);
  assert.equal((await d.socket(alice, `protocol=2&session=${crypto.randomUUID()}`)).refused, 404);
  assert.equal((await d.socket(alice, 'protocol=2&after=-1')).refused, 400);
  assert.equal((await d.socket(alice, `protocol=2&session=${session}&after=99`)).refused, 400);
  const again = await d.socket(alice, `protocol=2&session=${session}`);
  assert.equal((await again.frame('session')).session, session);
  own.close();
  again.close();
});

test('J4 with a cookie an upgrade needs the exact origin; with a token it needs none', async () => {
  await using d = await startDoors();
  const { cookie } = await d.login('alice');
  assert.equal((await d.socket({ cookie })).refused, 403);
  assert.equal((await d.socket({ cookie, origin: 'https://evil.example' })).refused, 403);
  const good = await d.socket({ cookie, origin: 'http://localhost:8484' });
  await good.frame('session');
  good.close();
  const program = await d.socket({ ...(await d.bearer('bob')), origin: 'https://elsewhere.example' });
  await program.frame('session');
  program.close();
});

test('two people speak in their own sessions, and each hears what is theirs', async () => {
  await using d = await startDoors();
  const alice = await d.socket(await d.bearer('alice'));
  const bob = await d.socket(await d.bearer('bob'));
  await Promise.all([alice.frame('session'), bob.frame('session')]);
  alice.send({ type: 'message', content: 'hello from alice' });
  bob.send({ type: 'message', content: 'hello from bob' });
  await Promise.all([alice.frame('turn.ended'), bob.frame('turn.ended')]);
  const heard = (one: typeof alice) => JSON.stringify(one.frames);
  assert.deepEqual([heard(alice).includes('from alice'), heard(alice).includes('from bob')], [true, false]);
  assert.deepEqual([heard(bob).includes('from bob'), heard(bob).includes('from alice')], [true, false]);
  // Whoever comes back gets the same again.
  const { session, seq } = (alice.frames.find((one) => one.type === 'turn.ended') ?? {}) as {
    session: string;
    seq: number;
  };
  const { session: id = session } = await alice.frame('session');
  const again = await d.socket(await d.bearer('alice'), `protocol=2&session=${id}&after=${seq - 1}`);
  assert.equal((await again.frame('turn.ended')).seq, seq);
  again.send({ type: 'resume', after: 9_999 });
  assert.equal((await again.frame('error')).code, 'after_beyond_end');
  for (const one of [alice, bob, again]) one.close();
});

test('a frame that is none says what is known; a stop with nothing to stop, and an approval, are answered', async () => {
  await using d = await startDoors();
  const socket = await d.socket(await d.bearer('alice'));
  await socket.frame('session');
  socket.send({ type: 'stop' });
  socket.raw(Buffer.from([1, 2, 3]));
  socket.raw('no json');
  socket.send({ type: 'nothing' });
  socket.send({ type: 'message', content: 'a\0b' });
  socket.send({ type: 'approve', approval: 'x', decision: 'approve' });
  await until(() => socket.frames.filter(({ type }) => type === 'error').length === 5);
  const errors = socket.frames.filter(({ type }) => type === 'error').map(({ code, message }) => [code, message]);
  assert.deepEqual(errors.map(([code]) => code).sort(), [
    'approval_unavailable',
    'unknown_frame',
    'unknown_frame',
    'unknown_frame',
    'unknown_frame',
  ]);
  assert.ok(errors.some(([, message]) => String(message).includes('known are message, stop, resume, auth, approve')));
  socket.close();
});

test('a frame `auth` of another person closes with 4403; of the same one with a lesser role too', async () => {
  await using d = await startDoors();
  const open = async () => {
    const socket = await d.socket(await d.bearer('alice'));
    await socket.frame('session');
    return socket;
  };
  const [other, lesser, same, broken] = [await open(), await open(), await open(), await open()];
  other.send({ type: 'auth', token: (await d.token('bob')).reveal() });
  assert.equal(await other.closedWith(), 4403);
  lesser.send({ type: 'auth', token: (await d.token('alice', 'RESTRICTED')).reveal() });
  assert.equal(await lesser.closedWith(), 4403);
  broken.send({ type: 'auth', token: 'forged' });
  assert.equal((await broken.frame('error')).code, 'unauthenticated');
  same.send({ type: 'auth', token: (await d.token('alice')).reveal() });
  same.send({ type: 'message', content: 'hello' });
  await same.frame('turn.ended');
  for (const one of [same, broken]) one.close();
});

test('whoever loses the right, or whose login ends, is closed with 4403 and told nothing more; the other person stays', async () => {
  await using d = await startDoors();
  const alice = await d.socket(await d.bearer('alice'));
  const login = await d.login('alice');
  const console_ = await d.socket({ cookie: login.cookie, origin: 'http://localhost:8484' });
  const bob = await d.socket(await d.bearer('bob'));
  for (const one of [alice, console_, bob]) await one.frame('session');
  login.end();
  d.policy.refresh();
  assert.equal(await console_.closedWith(), 4403);
  await d.users.disable(d.issuer, 'alice', true);
  assert.equal(await alice.closedWith(), 4403);
  bob.send({ type: 'message', content: 'still here' });
  await bob.frame('turn.ended');
  assert.equal(JSON.stringify(alice.frames).includes('still here'), false);
  bob.close();
});

test('a token that ends is announced a minute before and closes with 4401, unless another of the same person comes', async () => {
  await using d = await startDoors();
  const short = await d.bearer('alice', 'REGULAR', { lifetime: 1 });
  const ends = await d.socket(short);
  const goesOn = await d.socket(short);
  assert.equal(typeof (await ends.frame('auth.expiring')).at, 'string');
  await goesOn.frame('session');
  goesOn.send({ type: 'auth', token: (await d.token('alice')).reveal() });
  assert.equal(await ends.closedWith(), 4401);
  goesOn.send({ type: 'message', content: 'hello' });
  await goesOn.frame('turn.ended');
  goesOn.close();
});

test('one person’s sockets are counted: one more is 429, another person’s is not, and a closed one counts no more', async () => {
  await using d = await startDoors({ limits: { sockets: 1 } });
  const alice = await d.bearer('alice');
  const first = await d.socket(alice);
  await first.frame('session');
  assert.equal((await d.socket(alice)).refused, 429);
  const bob = await d.socket(await d.bearer('bob'));
  await bob.frame('session');
  first.close();
  await first.closedWith();
  let refused: number | undefined = 429;
  while (refused === 429) {
    const again = await d.socket(alice);
    refused = again.refused;
    again.close();
  }
  assert.equal(refused, undefined);
  bob.close();
});
