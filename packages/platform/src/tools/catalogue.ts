import type { PriorDiscovery } from '@modelcontextprotocol/client';
import { placeOf } from '@onbehalf/resources';
import type { SubjectSource } from '@onbehalf/token-exchange';
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

/** Who asks for a list with their own token. What an administrator was shown is approved. */
export interface Refresher {
  subject: SubjectSource | undefined;
  administrator: boolean;
}

export interface Catalogue {
  /**
   * Lists a server's tools now, with the discovery credential, and writes the result to its status; a failure too. Of a
   * server whose tools are listed with people's own tokens, with that of `by`. Rejects only when that cannot be written.
   */
  discover(uid: string, by?: Refresher): Promise<void>;
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

  async function discover(uid: string, by?: Refresher): Promise<void> {
    const known = running.get(uid);
    // What somebody asks for with their own token is not what was asked for without.
    if (known !== undefined && by?.subject === undefined) return known;
    await known?.catch(() => undefined);
    const run = attempt(uid, by).finally(() => running.delete(uid));
    running.set(uid, run);
    return run;
  }

  async function attempt(uid: string, by: Refresher | undefined): Promise<void> {
    const server = registry.byUid(uid);
    if (server?.kind !== 'RemoteMCPServer' || closed) return;
    seen.set(uid, server.metadata.generation);
    let next = RETRY_MS;
    try {
      if (await ask(server, by)) next = EVERY_MS;
    } finally {
      // Changed while it was asked: what it said was said somewhere else.
      const current = registry.byUid(uid)?.metadata.generation;
      if (current !== undefined) schedule(uid, current === server.metadata.generation ? next : 0);
    }
  }

  /** True where it need not be asked again soon. */
  async function ask(server: McpServer, by: Refresher | undefined): Promise<boolean> {
    const { uid } = server.metadata;
    const byPerson = discoveryMode(server) === 'User';
    const waits = byPerson && by?.subject === undefined;
    // What was listed with somebody's token stays as it is until somebody lists it again.
    if (waits && server.spec.enabled !== false && server.status.approvedFor === placeOf(server.spec)) return true;
    const reason = server.spec.enabled === false ? 'Disabled' : waits ? 'NeedsRefresh' : undefined;
    if (reason !== undefined) {
      await registry.updateStatus<'RemoteMCPServer'>(uid, (_, now) => unaskedStatus(now, reason, at()));
      return true;
    }
    let found: Found;
    try {
      found = await listTools(options, server, byPerson ? by?.subject : undefined);
    } catch (error) {
      const failure = explainFailure(error, server, 'discovery');
      if (!closed) await write(server, (now) => failedStatus(now, failure, at()));
      return false;
    }
    if (found.prior) priors.set(uid, found.prior);
    await record(server, found, byPerson ? by : undefined);
    return true;
  }

  /** Only while the server is where it was when it was asked. */
  async function write(asked: McpServer, change: (now: Omit<McpServer, 'writer'>) => McpServer['status']) {
    const place = placeOf(asked.spec);
    await registry.updateStatus<'RemoteMCPServer'>(asked.metadata.uid, (status, now) =>
      placeOf(now.spec) === place ? change(now) : status,
    );
  }

  async function record(asked: McpServer, found: Found, shownTo: Refresher | undefined) {
    let open: string[] = [];
    await write(asked, (now) => {
      // Who wrote the address and the auth, not who wrote last.
      const by = now.status.placedBy ?? asked.writer;
      const trusted = shownTo?.administrator ?? (by !== undefined && options.isAdministrator(by));
      const next = foundStatus(now, found, { trusted, at: at() });
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
