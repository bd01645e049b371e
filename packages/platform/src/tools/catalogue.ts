import type { PriorDiscovery } from '@modelcontextprotocol/client';
import { placeOf } from '@onbehalf/resources';
import type { Audit } from '../audit/index.ts';
import type { Registry } from '../store/index.ts';
import { discoveryMode, type Found, listTools } from './discovery.ts';
import { explainFailure } from './failure.ts';
import type { OutboundOptions } from './outbound.ts';
import type { McpServer } from './ports.ts';
import { serverName } from './target.ts';
import { failedStatus, foundStatus, unaskedStatus } from './tool-status.ts';

const EVERY_MS = 600_000;
const RETRY_MS = 5_000;

export interface CatalogueOptions extends OutboundOptions {
  registry: Registry;
  audit: Audit;
  now: () => number;
  /** Whether this principal is an administrator: what they register is approved with the first discovery. */
  isAdministrator: (principal: { issuer: string; subject: string }) => boolean;
  /** A status or an audit line that could not be written; it is tried again. */
  onProblem?: (error: unknown) => void;
}

export interface Catalogue {
  /**
   * Lists a server's tools now, with the discovery credential, and writes the result to its status; a failure too.
   * Rejects only when that cannot be written.
   */
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

  const problem = (error: unknown) => options.onProblem?.(error);
  const at = () => new Date(options.now()).toISOString();

  function schedule(uid: string, ms: number) {
    clearTimeout(timers.get(uid));
    if (closed) return;
    const timer = setTimeout(() => discover(uid).catch(problem), ms);
    timer.unref();
    timers.set(uid, timer);
  }

  function discover(uid: string): Promise<void> {
    const known = running.get(uid);
    if (known !== undefined) return known;
    const run = attempt(uid).finally(() => running.delete(uid));
    running.set(uid, run);
    return run;
  }

  async function attempt(uid: string): Promise<void> {
    const server = registry.byUid(uid);
    if (server?.kind !== 'RemoteMCPServer' || closed) return;
    seen.set(uid, server.metadata.generation);
    let next = RETRY_MS;
    try {
      if (await ask(server)) next = EVERY_MS;
    } finally {
      // Changed while it was asked: what it said was said somewhere else.
      const current = registry.byUid(uid)?.metadata.generation;
      if (current !== undefined) schedule(uid, current === server.metadata.generation ? next : 0);
    }
  }

  /** True where it need not be asked again soon. */
  async function ask(server: McpServer): Promise<boolean> {
    const { uid } = server.metadata;
    const reason =
      server.spec.enabled === false ? 'Disabled' : discoveryMode(server) === 'User' ? 'NeedsRefresh' : undefined;
    if (reason !== undefined) {
      await registry.updateStatus<'RemoteMCPServer'>(uid, (_, now) => unaskedStatus(now, reason, at()));
      return true;
    }
    let found: Found;
    try {
      found = await listTools(options, server);
    } catch (error) {
      const failure = explainFailure(error, server, 'discovery');
      if (!closed) await write(server, (now) => failedStatus(now, failure, at()));
      return false;
    }
    if (found.prior) priors.set(uid, found.prior);
    await record(server, found);
    return true;
  }

  /** Only while the server is where it was when it was asked. */
  async function write(asked: McpServer, change: (now: Omit<McpServer, 'writer'>) => McpServer['status']) {
    const place = placeOf(asked.spec);
    await registry.updateStatus<'RemoteMCPServer'>(asked.metadata.uid, (status, now) =>
      placeOf(now.spec) === place ? change(now) : status,
    );
  }

  async function record(asked: McpServer, found: Found) {
    let open: string[] = [];
    await write(asked, (now) => {
      // Who wrote the address and the auth, not who wrote last.
      const by = now.status.placedBy ?? asked.writer;
      const next = foundStatus(now, found, { trusted: by !== undefined && options.isAdministrator(by), at: at() });
      open = (next.tools ?? []).filter(({ approved }) => !approved).map(({ name }) => name);
      return next;
    });
    if (open.length > 0)
      await options.audit.append({
        type: 'change',
        phase: 'single',
        reason: 'tools not approved',
        target: { kind: 'RemoteMCPServer', uid: asked.metadata.uid, server: serverName(asked) },
        data: { tools: open },
      });
  }

  const stop = registry.onChange((changed) => {
    for (const uid of changed) {
      const resource = registry.byUid(uid);
      if (resource?.kind === 'RemoteMCPServer' && seen.get(uid) !== resource.metadata.generation) {
        priors.delete(uid);
        schedule(uid, 0);
      } else if (!resource && seen.delete(uid)) {
        clearTimeout(timers.get(uid));
        timers.delete(uid);
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
