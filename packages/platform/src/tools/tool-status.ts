import { type Condition, type DiscoveredTool, placeOf, type ResourceOf, setCondition } from '@onbehalf/resources';
import type { Failure } from './failure.ts';

type Server = ResourceOf<'RemoteMCPServer'>;
type Status = Server['status'];
type Said = Pick<Condition, 'type' | 'status' | 'reason' | 'message'>;

const MAX_MESSAGE = 1_024;

/**
 * The status after a successful discovery. A tool stays approved while its hash is the one that was approved here; the
 * first list of a place is approved with it where `trusted`, except what hides characters.
 */
export function foundStatus(
  server: Server,
  found: { tools: readonly DiscoveredTool[]; leftOut: readonly string[]; era: string },
  how: { trusted: boolean; at: string },
): Status {
  const { spec, status } = server;
  const place = placeOf(spec);
  const first = status.approvedFor !== place;
  const before = new Map(first ? [] : (status.tools ?? []).map((tool) => [tool.name, tool]));
  const tools = found.tools.map((tool) => {
    const known = before.get(tool.name);
    const same = known?.hash === tool.hash && known.approved;
    return { ...tool, approved: same || (first && how.trusted && !tool.flagged) };
  });
  const conditions: Said[] = [
    {
      type: 'ToolsDiscovered',
      status: 'True',
      reason: 'Discovered',
      message: `${tools.length} tools${unknownIn(spec, tools)}${without(found.leftOut)}`,
    },
    { type: 'Reachable', status: 'True', reason: 'Answered', message: 'the server answered' },
    drift(server, tools),
  ];
  return { ...said(server, conditions, how.at), tools, protocolEra: found.era, approvedFor: place };
}

const without = (leftOut: readonly string[]): string =>
  leftOut.length === 0 ? '' : `; left out: ${leftOut.join('; ')}`;

/** A misspelt name would give a tool scopes that it does not need. */
function unknownIn({ auth }: Server['spec'], tools: readonly DiscoveredTool[]): string {
  const unknown = Object.keys(auth?.toolScopes ?? {}).filter((name) => !tools.some((tool) => tool.name === name));
  return unknown.length === 0 ? '' : `; spec.auth.toolScopes names ${unknown.join(', ')}, which it does not offer`;
}

/** The status after a discovery that failed. At a place that was never listed nothing is approved. */
export function failedStatus(server: Server, failure: Pick<Failure, 'message' | 'reached'>, at: string): Status {
  const { spec } = server;
  const conditions: Said[] = [
    { type: 'ToolsDiscovered', status: 'False', reason: 'DiscoveryFailed', message: failure.message },
    reachable(failure),
  ];
  const next = said(server, conditions, at);
  const { approvedFor, tools, ...rest } = next;
  if (tools === undefined || approvedFor === placeOf(spec)) return next;
  return { ...rest, tools: tools.map((tool) => ({ ...tool, approved: false })) };
}

/** The status of a server that is not asked. */
export function unaskedStatus(server: Server, reason: 'Disabled' | 'NeedsRefresh', at: string): Status {
  const message =
    reason === 'Disabled'
      ? 'the server is switched off'
      : `its tools are listed with a person's own token: an administrator runs onbehalf mcp refresh ${server.metadata.name}`;
  return said(
    server,
    (['ToolsDiscovered', 'Reachable'] as const).map((type) => ({ type, status: 'Unknown', reason, message })),
    at,
  );
}

function reachable({ message, reached }: Pick<Failure, 'message' | 'reached'>): Said {
  if (reached === undefined)
    return { type: 'Reachable', status: 'Unknown', reason: 'NotAsked', message: `it was not asked: ${message}` };
  if (!reached) return { type: 'Reachable', status: 'False', reason: 'NoAnswer', message };
  return { type: 'Reachable', status: 'True', reason: 'Answered', message: 'the server answered' };
}

function drift({ metadata }: Server, tools: readonly DiscoveredTool[]): Said {
  const open = tools.filter(({ approved }) => !approved).map(({ name }) => name);
  if (open.length === 0)
    return { type: 'ToolDrift', status: 'False', reason: 'InSync', message: 'every tool is as it was approved' };
  const names = open.join(', ').slice(0, 500);
  const todo = `look at them, then run: onbehalf mcp approve-tools ${metadata.name}`;
  return { type: 'ToolDrift', status: 'True', reason: 'NotApproved', message: `not approved: ${names}; ${todo}` };
}

function said({ metadata, status }: Server, conditions: readonly Said[], at: string): Status {
  const observedGeneration = metadata.generation;
  return {
    ...status,
    observedGeneration,
    conditions: conditions.reduce(
      (known, { message, ...next }) =>
        setCondition(known, { ...next, message: message.slice(0, MAX_MESSAGE), observedGeneration }, at),
      status.conditions ?? [],
    ),
  };
}
