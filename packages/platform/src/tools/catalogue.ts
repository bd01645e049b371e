import { createHash } from 'node:crypto';
import type { PriorDiscovery } from '@modelcontextprotocol/client';
import { type Condition, type DiscoveredTool, serverTarget, setCondition } from '@onbehalf/resources';
import type { Audit } from '../audit/index.ts';
import type { Registry } from '../store/index.ts';
import { connectClient } from './connections.ts';
import { explainFailure } from './failure.ts';
import { type OutboundOptions, outboundFetch } from './outbound.ts';
import type { McpServer } from './ports.ts';
import { hasHidden, showHidden } from './result.ts';
import { serverName } from './target.ts';

const EVERY_MS = 600_000;
const RETRY_MS = 5_000;
const MAX_TOOLS = 500;
const MAX_DESCRIPTION = 8_192;

export interface CatalogueOptions extends OutboundOptions {
  registry: Registry;
  audit: Audit;
  now: () => number;
  /** Whether this principal is an administrator: what they register is approved with the first discovery. */
  isAdministrator: (principal: { issuer: string; subject: string }) => boolean;
}

export interface Catalogue {
  /** Lists a server's tools now, with the discovery credential, and writes the result to its status. */
  discover(uid: string): Promise<void>;
  prior(uid: string): PriorDiscovery | undefined;
  close(): Promise<void>;
}

/**
 * Discovers the tools of every server when it is registered or changed, and every ten minutes. What appears or changes
 * after the first discovery is disabled until somebody approves it. A failed discovery is a condition, never an empty list.
 */
export function createCatalogue(options: CatalogueOptions): Catalogue {
  const { registry } = options;
  const timers = new Map<string, NodeJS.Timeout>();
  const seen = new Map<string, number>();
  const priors = new Map<string, PriorDiscovery>();
  const running = new Map<string, Promise<void>>();
  let closed = false;

  function schedule(uid: string, ms: number) {
    clearTimeout(timers.get(uid));
    if (closed) return;
    const timer = setTimeout(() => void discover(uid), ms);
    timer.unref();
    timers.set(uid, timer);
  }

  function discover(uid: string): Promise<void> {
    const known = running.get(uid);
    if (known) return known;
    const run = attempt(uid).finally(() => running.delete(uid));
    running.set(uid, run);
    return run;
  }

  async function attempt(uid: string) {
    const server = registry.byUid(uid);
    if (server?.kind !== 'RemoteMCPServer' || closed) return;
    seen.set(uid, server.metadata.generation);
    const mode = discoveryMode(server);
    if (server.spec.enabled === false || mode === 'User') {
      await condition(
        uid,
        'Unknown',
        mode === 'User' ? 'WaitsForUser' : 'Disabled',
        mode === 'User' ? 'tools are listed at the first turn' : 'the server is switched off',
      );
      return;
    }
    try {
      const { tools, prior, era } = await listTools(server);
      if (prior) priors.set(uid, prior);
      await record(uid, tools, era);
      schedule(uid, EVERY_MS);
    } catch (error) {
      const failure = explainFailure(error, server);
      if (!closed) await condition(uid, 'False', 'DiscoveryFailed', failure.message).catch(() => undefined);
      schedule(uid, RETRY_MS);
    }
  }

  async function listTools(server: McpServer) {
    const own = serverTarget(server.spec);
    const target = {
      audience: own.audience ?? [],
      resource: own.resource ?? [],
      scopes: [],
      name: serverName(server),
      ...(server.spec.url !== undefined && { url: server.spec.url }),
    };
    const anonymous = discoveryMode(server) === 'None';
    const fetch = outboundFetch(options, anonymous ? withoutAuth(server) : server, target, { kind: 'discovery' });
    const client = await connectClient(server, fetch, undefined);
    try {
      const { tools } = await client.listTools(undefined, { timeout: 30_000, maxTotalTimeout: 60_000 });
      const found = tools.slice(0, MAX_TOOLS).map(
        ({ name, description = '', inputSchema }): DiscoveredTool => ({
          name,
          description: showHidden(description.slice(0, MAX_DESCRIPTION)),
          inputSchema: inputSchema as Record<string, unknown>,
          hash: createHash('sha256')
            .update(JSON.stringify([name, description, inputSchema]))
            .digest('base64url'),
          approved: false,
          ...(hasHidden(name + description) && { flagged: ['hidden characters'] }),
        }),
      );
      const discover = client.getDiscoverResult();
      const prior: PriorDiscovery | undefined = discover ? { kind: 'modern', discover } : undefined;
      return { tools: found, prior, era: String(client.getProtocolEra() ?? 'unknown') };
    } finally {
      await client.close().catch(() => undefined);
    }
  }

  async function record(uid: string, tools: DiscoveredTool[], era: string) {
    const at = new Date(options.now()).toISOString();
    let drifted: string[] = [];
    let named: string | undefined;
    await registry.updateStatus<'RemoteMCPServer'>(uid, (status, server) => {
      named = serverName(server as McpServer);
      const basis = approvalBasis(server as McpServer);
      const first = status.approvedFor !== basis;
      const writer = (registry.byUid(uid) as McpServer | undefined)?.writer;
      const trusted = first && writer !== undefined && options.isAdministrator(writer);
      const before = new Map(first ? [] : (status.tools ?? []).map((tool) => [tool.name, tool]));
      const merged = tools.map((tool) => ({
        ...tool,
        approved:
          (trusted && !tool.flagged) ||
          (before.get(tool.name)?.hash === tool.hash && before.get(tool.name)?.approved === true),
      }));
      drifted = merged.filter((tool) => !tool.approved).map((tool) => tool.name);
      const generation = server.metadata.generation;
      let conditions: Condition[] = status.conditions ?? [];
      const set = (next: Parameters<typeof setCondition>[1]) => {
        conditions = setCondition(conditions, next, at);
      };
      set({
        type: 'ToolsDiscovered',
        status: 'True',
        reason: 'Discovered',
        message: `${tools.length} tools`,
        observedGeneration: generation,
      });
      set({
        type: 'Reachable',
        status: 'True',
        reason: 'Answered',
        message: 'the server answered',
        observedGeneration: generation,
      });
      set({
        type: 'ToolDrift',
        status: drifted.length > 0 ? 'True' : 'False',
        reason: drifted.length > 0 ? 'NotApproved' : 'InSync',
        message:
          drifted.length > 0
            ? `not approved: ${drifted.join(', ').slice(0, 500)}; run: onbehalf mcp approve-tools ${server.metadata.name}`
            : 'every tool is as it was approved',
        observedGeneration: generation,
      });
      return {
        ...status,
        tools: merged,
        protocolEra: era,
        conditions,
        observedGeneration: generation,
        approvedFor: basis,
      };
    });
    if (drifted.length > 0)
      await options.audit.append({
        type: 'change',
        phase: 'single',
        reason: 'tools not approved',
        target: { kind: 'RemoteMCPServer', uid, ...(named && { server: named }) },
        data: { tools: drifted },
      });
  }

  async function condition(uid: string, status: Condition['status'], reason: string, message: string) {
    const at = new Date(options.now()).toISOString();
    await registry.updateStatus<'RemoteMCPServer'>(uid, (before, server) => ({
      ...before,
      observedGeneration: server.metadata.generation,
      conditions: setCondition(
        before.conditions ?? [],
        {
          type: 'ToolsDiscovered',
          status,
          reason,
          message: message.slice(0, 1_024),
          observedGeneration: server.metadata.generation,
        },
        at,
      ),
    }));
  }

  const stop = registry.onChange((changed) => {
    for (const uid of changed) {
      const resource = registry.byUid(uid);
      if (resource?.kind === 'RemoteMCPServer' && seen.get(uid) !== resource.metadata.generation) {
        priors.delete(uid);
        schedule(uid, 0);
      } else if (!resource && seen.delete(uid)) {
        clearTimeout(timers.get(uid));
        priors.delete(uid);
      }
    }
  });
  for (const server of registry.list('RemoteMCPServer')) schedule(server.metadata.uid, 0);

  return {
    discover,
    prior: (uid) => priors.get(uid),
    async close() {
      closed = true;
      stop();
      for (const timer of timers.values()) clearTimeout(timer);
      await Promise.allSettled(running.values());
    },
  };
}

/** The declared discovery credential, or the default of the server's mode. */
function discoveryMode({ spec }: McpServer): 'Workload' | 'User' | 'None' | 'Static' {
  const { mode = 'None', discovery } = spec.auth ?? {};
  if (discovery) return discovery.mode;
  return mode === 'Exchange' || mode === 'Workload'
    ? 'Workload'
    : mode === 'Forward'
      ? 'User'
      : mode === 'Static'
        ? 'Static'
        : 'None';
}

function withoutAuth(server: McpServer): McpServer {
  const { auth: _auth, ...spec } = server.spec;
  return { ...server, spec };
}

/** A change of where a server is or how it is called makes everything found there new. */
function approvalBasis({ spec }: McpServer): string {
  return createHash('sha256')
    .update(JSON.stringify([spec.url, spec.protocol, spec.auth, spec.tls]))
    .digest('base64url');
}
