import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseDocuments, type Resource, type TurnResult } from '@onbehalf/resources';
import type { SubjectSource } from '@onbehalf/token-exchange';
import { type FakeTokenService, startFakeTokenService } from '@onbehalf/token-exchange/testing';
import { startHr } from '../../../../examples/tool-servers/hr.ts';
import { startOrders } from '../../../../examples/tool-servers/orders.ts';
import type { RunningToolServer, Seen } from '../../../../examples/tool-servers/tool-server.ts';
import { chainHash, createAudit } from '../../src/audit/index.ts';
import { createEgress } from '../../src/egress/index.ts';
import { missingTools, resolveModel, resolveTools } from '../../src/policy/index.ts';
import {
  type Authorize,
  createDeclarativeExecutor,
  createRuntime,
  type RuntimeOptions,
  type TurnInput,
} from '../../src/runtime/index.ts';
import { createRegistry, insertResource, namespaceOf, openSqliteStore } from '../../src/store/index.ts';
import { createTools } from '../../src/tools/index.ts';
import { openVault } from '../../src/vault/index.ts';
import { scriptedModel } from './scripted-model.ts';

const ADMIN = { issuer: 'local', subject: 'local-admin' };
const ALLOW = { effect: 'allow', rule: 'test', reason: 'test' } as const;

/** Store, vault, audit, tools and runtime, with a fake token service and two real tool servers. */
export async function startChain(
  options: {
    dataDir?: string;
    tokenService?: FakeTokenService;
    runtime?: Partial<RuntimeOptions>;
    onProblem?: (error: unknown) => void;
    /** Secrets that a resource refers to as `{env: NAME}`. */
    env?: Record<string, string>;
  } = {},
) {
  const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), 'onbehalf-chain-')));
  const sts = options.tokenService ?? (await startFakeTokenService());
  const seen: { orders: Seen[]; hr: Seen[] } = { orders: [], hr: [] };
  const orders = await startOrders({ issuer: sts.issuer, port: 0, onSeen: (entry) => seen.orders.push(entry) });
  const hr = await startHr({ issuer: sts.issuer, port: 0, onSeen: (entry) => seen.hr.push(entry) });
  const store = await openSqliteStore({ path: join(dataDir, 'onbehalf.db'), chain: chainHash });
  const vault = await openVault({
    store,
    keyFile: join(dataDir, 'key'),
    readEnv: (name) => ({ STS_SECRET: 'platform-secret', ...options.env })[name],
  });
  const audit = await createAudit({ store, signer: await vault.signer('audit'), keyedHash: vault.keyedHash });
  vault.attach(audit, () => true);
  const egress = createEgress({
    privateNetworks: ['127.0.0.1/32'],
    // Names of tests are here.
    resolve: async (name) => [{ address: name.endsWith('.example') ? '127.0.0.1' : name }],
  });
  const registry = await createRegistry(store);

  async function apply(yaml: string): Promise<void> {
    const { documents, errors } = parseDocuments(yaml);
    if (errors.length > 0) throw new Error(JSON.stringify(errors));
    const resources = documents.map(
      ({ input }) =>
        ({
          ...input,
          metadata: {
            ...input.metadata,
            ...(namespaceOf(input) !== '' && { namespace: namespaceOf(input) }),
            uid: crypto.randomUUID(),
            generation: 1,
            resourceVersion: '1',
            managedBy: 'api',
          },
          status: {},
        }) as Resource,
    );
    const { revision } = await store.commit({
      statements: resources.map((resource) => insertResource(store, resource, ADMIN)),
      changes: resources.map((resource) => ({ kind: resource.kind, key: resource.metadata.uid, op: 'put' as const })),
    });
    await registry.settled(revision);
  }

  const tools = createTools({
    registry,
    audit,
    egress,
    credentials: vault.credentials,
    installation: 'test',
    now: Date.now,
    isAdministrator: () => true,
    ...(options.onProblem && { onProblem: options.onProblem }),
    platform: {
      publicUrl: 'http://localhost:1',
      client: {
        auth: 'SecretBasic',
        id: 'platform',
        keyId: '1',
        secret: () => Promise.reject(new Error('the embedded service is not part of this')),
      },
      workload: sts.workload,
      actorFor: (agent) => sts.actor({ uid: agent.uid, name: `${agent.namespace}/${agent.name}` }),
      fetch: () => Promise.reject(new Error('the embedded service is not part of this')),
      doorAudiences: ['http://localhost:1/api'],
    },
  });
  const model = scriptedModel();
  const runtimeOptions: RuntimeOptions = {
    store,
    registry,
    audit,
    tools,
    now: Date.now,
    soleHolder: true,
    toolPolicy: {
      bound: (agent) => resolveTools(agent, registry, () => 'allow'),
      missing: (agent) => missingTools(agent, registry, () => 'allow'),
    },
    modelOf: (agent) => resolveModel(agent, registry, () => 'allow'),
    executors: {
      Declarative: createDeclarativeExecutor({
        modelFor: () => ({ client: model.client, model: 'demo' }),
        systemMessage: async (agent) => agent.spec.declarative?.systemMessage ?? '',
      }),
    },
    ...options.runtime,
  };
  const runtime = await createRuntime(runtimeOptions);

  const agent = (name = 'assistant') => {
    const found = registry.get('Agent', 'default', name);
    if (!found) throw new Error(`no agent ${name}`);
    return found;
  };
  const allowAll: Authorize = { run: () => ALLOW, tool: () => ALLOW };

  return {
    dataDir,
    sts,
    orders,
    hr,
    seen,
    store,
    audit,
    registry,
    tools,
    runtime,
    model,
    apply,
    agent,
    allowAll,
    /** Another server's runtime on the same store: what it finds without a lease at its clock, it interrupts. */
    replica: (now: () => number, onProblem?: (error: unknown) => void) =>
      createRuntime({
        ...runtimeOptions,
        store: { ...store, writer: 'another replica' },
        now,
        soleHolder: false,
        ...(onProblem && { onProblem }),
      }),
    /** Both servers and the agent, with the tools found. */
    async ready() {
      await apply(chainYaml(sts.issuer, orders, hr));
      for (const server of registry.list('RemoteMCPServer')) await tools.discover(server.metadata.uid);
    },
    async session(user: string, name?: string) {
      const { uid, namespace = 'default', name: agentName } = agent(name).metadata;
      return runtime.sessions.create({
        agent: { uid, namespace, name: agentName },
        owner: { issuer: sts.issuer, subject: user },
        door: 'api',
      });
    },
    input(
      session: string,
      user: string,
      content: string,
      subject: SubjectSource | undefined,
      more: Partial<TurnInput> = {},
    ): TurnInput {
      return {
        session,
        content,
        caller: { issuer: sts.issuer, subject: user, endUser: 'x', audit: { issuer: sts.issuer, subject: user } },
        subject,
        authorize: allowAll,
        door: 'api',
        ...more,
      };
    },
    async say(
      user: string,
      content: string,
      more: { session?: string; subject?: SubjectSource; input?: Partial<TurnInput> } = {},
    ): Promise<TurnResult> {
      const session = more.session ?? (await this.session(user)).id;
      const subject = more.subject ?? (await sts.user(user));
      const turn = await runtime.start(this.input(session, user, content, subject, more.input), agent());
      return runtime.finished(session, turn);
    },
    async close(keep = false) {
      await runtime.drain(100);
      runtime.close();
      await tools.close();
      registry.close();
      await egress.close();
      await audit.close();
      vault.close();
      await store.close();
      await orders.close();
      await hr.close();
      if (keep) return;
      await sts.close();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

export type Chain = Awaited<ReturnType<typeof startChain>>;

function chainYaml(issuer: string, orders: RunningToolServer, hr: RunningToolServer): string {
  return `
apiVersion: onbehalf.dev/v1alpha1
kind: TokenService
metadata: {name: sts}
spec:
  issuer: ${issuer}
  profile: rfc8693
  client: {id: platform, auth: SecretBasic, secretRef: {env: STS_SECRET}}
---
apiVersion: onbehalf.dev/v1alpha1
kind: RemoteMCPServer
metadata: {name: orders}
spec:
  url: ${orders.url}
  auth: {mode: Exchange, tokenServiceRef: {name: sts}, resourceFrom: ServerURL, scopes: [orders.read], allowOverride: {scopes: [orders.read, orders.refund]}}
---
apiVersion: onbehalf.dev/v1alpha1
kind: RemoteMCPServer
metadata: {name: hr}
spec:
  url: ${hr.url}
  auth: {mode: Exchange, tokenServiceRef: {name: sts}, resourceFrom: ServerURL, scopes: [hr.read, hr.write]}
---
apiVersion: onbehalf.dev/v1alpha1
kind: Agent
metadata: {name: assistant}
spec:
  type: Declarative
  declarative:
    systemMessage: You are careful.
    tools:
      - type: McpServer
        mcpServer: {name: orders, toolNames: [list_orders, get_order, refund_order], requireApproval: [refund_order], auth: {scopes: [orders.read, orders.refund]}}
      - type: McpServer
        mcpServer: {name: hr}
`;
}
