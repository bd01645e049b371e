import { createHash } from 'node:crypto';
import type { PriorDiscovery } from '@modelcontextprotocol/client';
import { type DiscoveredTool, serverScopes, serverTarget } from '@onbehalf/resources';
import type { SubjectSource } from '@onbehalf/token-exchange';
import { connectClient } from './connections.ts';
import { callLimits } from './limits.ts';
import { type OutboundOptions, outboundFetch } from './outbound.ts';
import type { McpServer } from './ports.ts';
import { hasHidden, showHidden } from './result.ts';
import { serverName } from './target.ts';

const MAX_TOOLS = 500;
const MAX_DESCRIPTION = 8_192;

/** What a server said that it offers. Nothing of it is approved yet. */
export interface Found {
  tools: DiscoveredTool[];
  /** What is not among them, and why. */
  leftOut: readonly string[];
  prior: PriorDiscovery | undefined;
  era: string;
}

/** Lists the tools of a server with its discovery credential, or with a person's own token. */
export async function listTools(options: OutboundOptions, server: McpServer, subject?: SubjectSource): Promise<Found> {
  const own = serverTarget(server.spec);
  const target = {
    audience: own.audience ?? [],
    resource: own.resource ?? [],
    scopes: server.spec.auth?.discovery?.scopes ?? own.scopes ?? [],
    // Whoever lists sees every tool, so it may need what any of them needs.
    stepUpScopes: serverScopes(server.spec),
    name: serverName(server),
    ...(server.spec.url !== undefined && { url: server.spec.url }),
  };
  const anonymous = discoveryMode(server) === 'None';
  const fetch = outboundFetch(options, anonymous ? withoutAuth(server) : server, target, {
    kind: 'discovery',
    subject,
  });
  const leftOut: string[] = [];
  const client = await connectClient(server, fetch, undefined, (what) => leftOut.push(what));
  try {
    const { totalMs } = callLimits(server.spec);
    const { tools } = await client.listTools(undefined, { timeout: totalMs, maxTotalTimeout: totalMs });
    const discover = client.getDiscoverResult();
    const distinct = new Map(tools.map((tool) => [tool.name, tool]));
    const twice = tools.length - distinct.size;
    if (twice > 0) leftOut.push(`${twice} that stand there twice`);
    if (distinct.size > MAX_TOOLS) leftOut.push(`${distinct.size - MAX_TOOLS} beyond ${MAX_TOOLS}`);
    return {
      tools: [...distinct.values()].slice(0, MAX_TOOLS).map(describe),
      leftOut,
      prior: discover ? { kind: 'modern', discover } : undefined,
      era: String(client.getProtocolEra() ?? 'unknown'),
    };
  } finally {
    await client.close().catch(() => undefined);
  }
}

function describe(tool: { name: string; description?: string | undefined; inputSchema: object }): DiscoveredTool {
  const { name, description = '', inputSchema } = tool;
  return {
    name,
    description: showHidden(description.slice(0, MAX_DESCRIPTION)),
    inputSchema: inputSchema as Record<string, unknown>,
    hash: createHash('sha256')
      .update(JSON.stringify([name, description, inputSchema]))
      .digest('base64url'),
    approved: false,
    ...(hasHidden(name + description) && { flagged: ['hidden characters'] }),
  };
}

/** The declared discovery credential, or the default of the server's mode. */
export function discoveryMode({ spec }: McpServer): 'Workload' | 'User' | 'None' | 'Static' {
  const { mode = 'None', discovery } = spec.auth ?? {};
  if (discovery?.mode !== undefined) return discovery.mode;
  if (mode === 'Exchange' || mode === 'Workload') return 'Workload';
  if (mode === 'Forward') return 'User';
  return mode === 'Static' ? 'Static' : 'None';
}

function withoutAuth(server: McpServer): McpServer {
  const { auth: _auth, ...spec } = server.spec;
  return { ...server, spec };
}
