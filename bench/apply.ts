import { randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { Agent, get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Resource } from '@onbehalf/resources';
import { adminCall } from '../examples/demo/api.ts';
import { freePort } from '../examples/demo/free-port.ts';
import { chainHash } from '../packages/platform/src/audit/index.ts';
import { createPolicy } from '../packages/platform/src/policy/index.ts';
import {
  createRegistry,
  insertResource,
  nextVersion,
  openSqliteStore,
  replaceResource,
} from '../packages/platform/src/store/index.ts';
import { type Line, median } from './measure.ts';
import { startServer } from './server.ts';

const ISSUER = 'http://localhost:1';
const by = { issuer: 'local', subject: 'local-admin' };

/** Many resources at once, and one change among many. */
export async function benchApply(): Promise<Line[]> {
  const folder = await mkdtemp(join(tmpdir(), 'onbehalf-apply-'));
  try {
    return [
      ...(await applyMany(join(folder, 'apply'))),
      ...(await changeOne(folder)),
      ...(await readyWithMany(folder)),
    ];
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** An apply of 1,000 agents over HTTP, and how long somebody else waits meanwhile for an answer that costs nothing. */
async function applyMany(dataDir: string): Promise<Line[]> {
  const port = await freePort();
  const config = `${dataDir}.yaml`;
  await writeFile(config, 'limits: {applies: 1000}\n');
  const server = await startServer(port, dataDir, { ONBEHALF_CONFIG: config });
  const took: number[] = [];
  const waited: number[] = [];
  try {
    for (let round = 0; round < 4; round++) {
      const documents = Array.from(
        { length: 1_000 },
        (_, index) =>
          `apiVersion: onbehalf.dev/v1alpha1\nkind: Agent\nmetadata: {name: agent-${round}-${index}}\nspec: {type: Declarative, description: one of many, declarative: {systemMessage: Be brief.}}\n`,
      ).join('---\n');
      const others = probe(port);
      const started = performance.now();
      const { status } = await adminCall(join(dataDir, 'admin.sock'), 'POST', '/apply', { documents });
      const elapsed = performance.now() - started;
      const longest = await others();
      if (status !== 200) throw new Error(`apply answered ${status}`);
      if (round > 0) took.push(elapsed);
      if (round > 0) waited.push(longest);
    }
  } finally {
    await server.stop();
  }
  return [
    line('apply of 1,000 documents, wall', `${Math.round(median(took))} ms`, '≤ 1 s'),
    line('longest wait of another request meanwhile', `${Math.round(median(waited))} ms`, '≤ 20 ms'),
  ];
}

/** Asks all the time; the longest answer in milliseconds, once it is told to end. */
function probe(port: number): () => Promise<number> {
  const agent = new Agent({ keepAlive: true });
  let longest = 0;
  let going = true;
  const ended = (async () => {
    while (going) {
      const started = performance.now();
      await new Promise<void>((resolve) =>
        get({ port, path: '/api/healthcheck', agent }, (response) => response.resume().once('end', resolve)),
      );
      longest = Math.max(longest, performance.now() - started);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    agent.destroy();
    return longest;
  })();
  return () => {
    going = false;
    return ended;
  };
}

async function filled(path: string, agents: number, grants: number) {
  const store = await openSqliteStore({ path, chain: chainHash });
  const uids = Array.from({ length: agents }, () => randomUUID());
  const made = (kind: string, name: string, uid: string, spec: object, status = {}) =>
    ({
      ...{ apiVersion: 'onbehalf.dev/v1alpha1', kind, spec, status },
      metadata: { name, namespace: 'default', uid, generation: 1, resourceVersion: '1', managedBy: 'api' },
    }) as unknown as Resource;
  const all = [
    ...uids.map((uid, index) =>
      made('Agent', `a${index}`, uid, { type: 'Declarative', declarative: { systemMessage: 'Be brief.' } }),
    ),
    ...Array.from({ length: grants }, (_, index) =>
      made(
        'Grant',
        `g${index}`,
        randomUUID(),
        {
          to: { principal: { issuer: ISSUER, subject: `p${index}` } },
          on: { kind: 'Agent', name: `a${index % agents}` },
          verbs: ['run'],
        },
        { targetUid: uids[index % agents] },
      ),
    ),
  ];
  for (let at = 0; at < all.length; at += 1_000)
    await store.commit({ statements: all.slice(at, at + 1_000).map((one) => insertResource(store, one, by)) });
  return { store, grant: all.at(-1) as Resource };
}

/** From the commit of one Grant among 100,000 to a table that decides by it. */
async function changeOne(folder: string): Promise<Line[]> {
  const { store, grant } = await filled(join(folder, 'many.db'), 10_000, 100_000);
  const registry = await createRegistry(store);
  const principals = { lookup: () => undefined, disabled: () => [], onChange: () => () => undefined };
  const policy = createPolicy({ registry, principals, issuer: ISSUER, now: Date.now });
  const took: number[] = [];
  for (let round = 0; round < 20; round++) {
    const before = registry.byUid(grant.metadata.uid);
    if (before?.kind !== 'Grant') throw new Error('no grant');
    const verbs = round % 2 === 0 ? (['use'] as const) : (['run'] as const);
    const next = {
      ...before,
      spec: { ...before.spec, verbs: [...verbs] },
      metadata: nextVersion(before, Date.now(), true),
    };
    const started = performance.now();
    const changed = new Promise<void>((resolve) => {
      const stop = policy.onChange(() => {
        stop();
        resolve();
      });
    });
    await store.commit({
      statements: [replaceResource(store, next as Resource, before)],
      changes: [{ kind: 'Grant', key: before.metadata.uid, op: 'put' }],
    });
    await changed;
    took.push(performance.now() - started);
  }
  policy.close();
  registry.close();
  await store.close();
  return [line('one of 100,000 grants changes, commit to decision', `${median(took).toFixed(1)} ms`, '≤ 5 ms')];
}

async function readyWithMany(folder: string): Promise<Line[]> {
  const ready: Record<number, number> = {};
  for (const agents of [10, 10_000]) {
    const dataDir = join(folder, `ready-${agents}`);
    const port = await freePort();
    await (await startServer(port, dataDir)).stop();
    const { store } = await filled(join(dataDir, 'onbehalf.db'), agents, 1);
    await store.close();
    const runs: number[] = [];
    for (let run = 0; run < 5; run++) {
      const server = await startServer(port, dataDir);
      if (run > 0) runs.push(server.readyMs);
      await server.stop();
    }
    ready[agents] = median(runs);
  }
  const more = (ready[10_000] ?? 0) - (ready[10] ?? 0);
  return [
    {
      ...line('ready with 10,000 agents, wall', `${Math.round(ready[10_000] ?? 0)} ms`, '+ ≤ 150 ms'),
      reference: `${Math.round(ready[10] ?? 0)} ms with 10 (+ ${Math.round(more)} ms)`,
    },
  ];
}

const line = (measure: string, ours: string, target: string): Line => ({
  ...{ measure, ours, reference: '–', ratio: undefined, target },
});
