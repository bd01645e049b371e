import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { copyFile, cp, mkdir, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { type FakeTokenService, startFakeTokenService } from '@onbehalf/token-exchange/testing';
import { startOrders } from '../../../examples/tool-servers/orders.ts';
import type { RunningToolServer, Seen } from '../../../examples/tool-servers/tool-server.ts';
import { buildPackage } from '../build.ts';
import { assistant } from './setup.ts';

const run = promisify(execFile);
const examples = join(import.meta.dirname, '..', '..', '..', 'examples', 'token-exchange');
const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'onbehalf', 'adapters');
const names = readdirSync(examples, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && existsSync(join(examples, entry.name, 'package-lock.json')))
  .map(({ name }) => name)
  .sort();

/** Where a program and what it needs is installed; another lock file is another place. */
function placeOf(name: string): string {
  const lock = readFileSync(join(examples, name, 'package-lock.json'));
  return join(cache, `${name}-${createHash('sha256').update(lock).digest('hex').slice(0, 16)}`);
}
const installed = (name: string) => existsSync(join(placeOf(name), 'ready'));

async function install(name: string): Promise<void> {
  if (installed(name)) return;
  const place = placeOf(name);
  await rm(place, { recursive: true, force: true });
  await mkdir(place, { recursive: true });
  for (const file of ['package.json', 'package-lock.json', '.npmrc'])
    await copyFile(join(examples, name, file), join(place, file));
  await run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: place, maxBuffer: 16 << 20 });
  await writeFile(join(place, 'ready'), '');
}

describe('agent frameworks: two people at once through one shared client', () => {
  let service: FakeTokenService;
  let orders: RunningToolServer;
  const seen: Seen[] = [];
  const built = join(cache, `package-${process.pid}`);
  before(async () => {
    service = await startFakeTokenService();
    orders = await startOrders({ issuer: service.issuer, port: 0, onSeen: (entry) => seen.push(entry) });
    await buildPackage(built);
  });
  after(async () => {
    await orders?.close();
    await service?.close();
    await rm(built, { recursive: true, force: true });
  });

  for (const name of names) {
    const wanted = process.env.CI !== undefined || installed(name);
    const skip = wanted ? false : 'its packages have not been installed on this machine; under CI they are';
    test(name, { skip, timeout: 300_000 }, async () => {
      await install(name);
      const place = placeOf(name);
      const library = join(place, 'node_modules', '@onbehalf', 'token-exchange');
      await rm(library, { recursive: true, force: true });
      await cp(built, library, { recursive: true });
      await copyFile(join(examples, 'person.mjs'), join(place, 'person.mjs'));
      await rm(join(place, 'program'), { recursive: true, force: true });
      await mkdir(join(place, 'program'));
      for (const file of readdirSync(join(examples, name)).filter((one) => one.endsWith('.mjs')))
        await copyFile(join(examples, name, file), join(place, 'program', file));

      seen.length = 0;
      const before = service.counts.token;
      const { identity, current } = service.actor(assistant);
      const people = await Promise.all(
        ['alice', 'bob'].map(async (subject) => ({
          subject,
          token: (await (await service.user(subject)).current()).token.reveal(),
        })),
      );
      const given = {
        url: orders.url,
        issuer: service.issuer,
        clientSecret: 'platform-secret',
        agent: { ...identity, token: (await current(service.issuer)).token.reveal() },
        people,
      };
      const { stdout } = await run(process.execPath, [join(place, 'program', 'main.mjs')], {
        cwd: place,
        env: { PATH: process.env.PATH, HOME: place, EXAMPLE: JSON.stringify(given) },
        timeout: 60_000,
        maxBuffer: 16 << 20,
      });
      const { answers, requests } = JSON.parse(/^\{"answers".*$/m.exec(stdout)?.[0] ?? '') as {
        answers: [string, string][];
        requests: number;
      };
      assert.equal(answers.length, 10);
      for (const [subject, text] of answers) {
        assert.ok(text.includes(`Desk lamp for ${subject}`), text);
        assert.ok(!text.includes(`for ${subject === 'alice' ? 'bob' : 'alice'}`), text);
      }
      assert.deepEqual(seen.map(({ sub }) => sub).sort(), [...Array(5).fill('alice'), ...Array(5).fill('bob')]);
      for (const { aud, act } of seen)
        assert.deepEqual([aud, (act as { sub: string }).sub], [orders.url, 'agent:default/assistant']);
      // One token for each person, whatever number of calls there is at once.
      assert.deepEqual([requests, service.counts.token - before], [2, 2]);
      const secrets = [...people.map(({ token }) => token), given.agent.token];
      assert.ok(!secrets.some((secret) => stdout.includes(secret)));
    });
  }
});
