import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { IssuerConfig } from '@onbehalf/access';
import type { Kind, Resource, SpecOf } from '@onbehalf/resources';
import { SecretValue } from '@onbehalf/secret-value';
import { chainHash, createAudit } from '../../src/audit/index.ts';
import { createEgress } from '../../src/egress/index.ts';
import type { TargetQuestion } from '../../src/issuer/index.ts';
import type { LimitSettings } from '../../src/limits/index.ts';
import type { LoginIssuer } from '../../src/login/index.ts';
import {
  createRegistry,
  insertResource,
  nextVersion,
  openSqliteStore,
  replaceResource,
} from '../../src/store/index.ts';
import { openVault } from '../../src/vault/index.ts';
import { Browser } from './browser.ts';
import { createIdentity, type Identity } from './identity.ts';

export const ORDERS = 'https://orders.internal/mcp';
export const HR = 'https://hr.internal/mcp';
export const PASSWORD = 'correct horse battery';

/** Two people, two agents, two tool servers and an issuer on a real socket; the clock can be moved forward. */
export async function identityFixture(
  options: {
    trusted?: (publicUrl: string) => IssuerConfig[];
    logins?: () => readonly LoginIssuer[];
    limits?: Partial<LimitSettings>;
  } = {},
) {
  const folder = mkdtempSync(join(tmpdir(), 'onbehalf-identity-'));
  const clock = { ahead: 0 };
  const now = () => Date.now() + clock.ahead;
  const store = await openSqliteStore({ path: join(folder, 'onbehalf.db'), chain: chainHash });
  const vault = await openVault({ store, keyFile: join(folder, 'key') });
  const audit = await createAudit({
    store,
    signer: await vault.signer('audit'),
    keyedHash: vault.keyedHash,
    checkpointEvery: 0,
  });
  vault.attach(audit, () => true);
  const registry = await createRegistry(store);
  const egress = createEgress({ privateNetworks: ['127.0.0.1/32'] });
  const asked: TargetQuestion[] = [];
  const allows = { target: (_question: TargetQuestion): boolean => true };
  const errors: unknown[] = [];

  const server = createServer((request, response) => {
    void identity?.handle(request, response).then((ours) => {
      if (!ours) response.writeHead(404).end('not the issuer');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const publicUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const trusted = options.trusted?.(publicUrl) ?? [];
  let identity: Identity | undefined;
  const open = () =>
    createIdentity({
      ...{ publicUrl, installation: 'test', store, vault, audit, registry, egress, now },
      trustedIssuers: () => trusted,
      ...(options.limits && { limits: options.limits }),
      trustedProxies: ['127.0.0.1'],
      ...(options.logins && { loginIssuers: options.logins }),
      onError: (error) => errors.push(error),
      authorizeTarget(question) {
        asked.push(question);
        return allows.target(question);
      },
    });
  identity = await open();

  async function apply<K extends Kind>(kind: K, name: string, spec: SpecOf<K>, namespaced = true): Promise<string> {
    const uid = randomUUID();
    const metadata = { name, uid, generation: 1, resourceVersion: '1', managedBy: 'api' as const };
    const resource = {
      ...{ apiVersion: 'onbehalf.dev/v1alpha1', kind, spec, status: {} },
      metadata: { ...metadata, ...(namespaced && { namespace: 'default' }) },
    } as unknown as Resource;
    const { revision } = await store.commit({
      statements: [insertResource(store, resource, { issuer: 'local', subject: 'local-admin' })],
      changes: [{ kind, key: uid, op: 'put' }],
    });
    await registry.settled(revision);
    return uid;
  }
  async function switchOff(name: string): Promise<void> {
    const before = registry.byUid(registry.get('Agent', 'default', name)?.metadata.uid ?? '');
    if (before === undefined) throw new Error(`no ${name}`);
    const next = { ...before, spec: { ...before.spec, enabled: false }, metadata: nextVersion(before, now(), true) };
    const { revision } = await store.commit({
      statements: [replaceResource(store, next as Resource, before)],
      changes: [{ kind: 'Agent', key: before.metadata.uid, op: 'put' }],
    });
    await registry.settled(revision);
  }
  const exchangeServer = (resource: string, scopes: string[], more: string[] = []) => ({
    url: resource,
    auth: {
      mode: 'Exchange' as const,
      tokenServiceRef: { name: 'onbehalf' },
      resource: [resource],
      scopes,
      ...(more.length > 0 && { allowOverride: { scopes: [...scopes, ...more] } }),
    },
  });
  await apply('TokenService', 'onbehalf', { issuer: publicUrl, profile: 'onbehalf' }, false);
  const uids = {
    orders: await apply('RemoteMCPServer', 'orders', exchangeServer(ORDERS, ['orders.read'], ['orders.refund'])),
    hr: await apply('RemoteMCPServer', 'hr', exchangeServer(HR, ['hr.read'])),
    assistant: await apply('Agent', 'assistant', agentSpec),
    researcher: await apply('Agent', 'researcher', agentSpec),
  };
  const { users } = identity;
  await users.create({ subject: 'alice', name: 'Alice', email: 'alice@example.com', role: 'REGULAR' });
  await users.create({ subject: 'bob', name: 'Bob', role: 'REGULAR' });
  let passwords: Promise<unknown> | undefined;

  return {
    ...{
      publicUrl,
      store,
      vault,
      audit,
      registry,
      egress,
      now,
      clock,
      asked,
      allows,
      errors,
      uids,
      apply,
      switchOff,
      exchangeServer,
    },
    databaseFile: join(folder, 'onbehalf.db'),
    get identity(): Identity {
      if (identity === undefined) throw new Error('not open');
      return identity;
    },
    /** Most tests need none, and one costs what a password has to cost. */
    withPasswords() {
      const password = SecretValue.of(PASSWORD);
      passwords ??= Promise.all(['alice', 'bob'].map((name) => users.setPassword(name, password)));
      return passwords;
    },
    /** As another start of the server finds it. */
    async restart() {
      await identity?.close();
      identity = await open();
    },
    browser: () => new Browser(publicUrl),
    async [Symbol.asyncDispose]() {
      await identity?.close();
      await new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      });
      registry.close();
      await egress.close();
      await audit.close();
      vault.close();
      await store.close();
      rmSync(folder, { recursive: true });
    },
  };
}

export type IdentityFixture = Awaited<ReturnType<typeof identityFixture>>;

const agentSpec: SpecOf<'Agent'> = {
  type: 'Declarative',
  description: 'An agent for tests',
  declarative: { systemMessage: 'Be brief.', modelConfigRef: { name: 'default' } },
};
