import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { copyFile, cp, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { type FakeTokenService, startFakeTokenService } from '@onbehalf/token-exchange/testing';
import { startOrders } from '../../../examples/tool-servers/orders.ts';
import type { RunningToolServer, Seen } from '../../../examples/tool-servers/tool-server.ts';
import { installApart, isInstalledApart } from '../../../tools/installed-apart.ts';
import { buildPackage } from '../build.ts';
import { assistant } from './setup.ts';

const run = promisify(execFile);
const examples = join(import.meta.dirname, '..', '..', '..', 'examples', 'token-exchange');
const names = readdirSync(examples, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && existsSync(join(examples, entry.name, 'package-lock.json')))
  .map(({ name }) => name)
  .sort();

describe('agent frameworks: two people at once through one shared client', () => {
  let service: FakeTokenService;
  let orders: RunningToolServer;
  const seen: Seen[] = [];
  let built: string;
  before(async () => {
    service = await startFakeTokenService();
    orders = await startOrders({ issuer: service.issuer, port: 0, onSeen: (entry) => seen.push(entry) });
    built = await mkdtemp(join(tmpdir(), 'onbehalf-package-'));
    await buildPackage(built);
  });
  after(async () => {
    await orders?.close();
    await service?.close();
    if (built) await rm(built, { recursive: true, force: true });
  });

  for (const name of names) {
    const wanted = process.env.CI !== undefined || isInstalledApart(join(examples, name));
    const skip = wanted ? false : 'its packages have not been installed on this machine; under CI they are';
    test(name, { skip, timeout: 300_000 }, async () => {
      const place = await installApart(join(examples, name));
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
