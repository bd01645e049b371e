import { ACTIONS } from './actions.ts';
import { DENY, type Decision, type DecisionContext, isInactive, isStopped } from './decide.ts';
import { restrictionsOn, verbsOn } from './matching.ts';
import { bitOf, type PolicyResource, type PolicyTable } from './policy.ts';
import type { Principal } from './types.ts';

export interface ToolCall {
  /** The chain of agents, the one that makes the call first. */
  agents: readonly { uid: string }[];
  server: { uid: string; namespace: string; name: string; enabled: boolean };
  tool: string;
  /** The tool is bound to the calling agent. */
  bound: boolean;
  /** The server offers it, approved and unchanged. */
  offered: boolean;
}

/** User ∩ every agent of the chain ∩ grants. Pure; an error denies. */
export function decideTool(
  table: PolicyTable,
  principal: Principal,
  call: ToolCall,
  context: DecisionContext,
): Decision {
  try {
    return check(table, principal, call, context.now);
  } catch {
    return DENY.error;
  }
}

function check(table: PolicyTable, principal: Principal, call: ToolCall, now: number): Decision {
  if (isInactive(table, principal)) return DENY.inactive;
  if (!ACTIONS.run.roles.includes(principal.role)) return DENY.role;
  const agents = call.agents.map(({ uid }) => table.resources.get(uid));
  const server = table.resources.get(call.server.uid);
  if (agents.length === 0) return TOOL.chain;
  for (const agent of agents) {
    if (agent?.kind !== 'Agent') return TOOL.chain;
    if (!agent.enabled) return DENY.disabled;
    if (isStopped(table, agent.namespace)) return DENY.stopped;
    if ((verbsOn(table, principal, agent, now) & bitOf('run')) === 0) return TOOL.run;
  }
  if (!call.server.enabled || server?.enabled === false) return TOOL.server;
  if (isStopped(table, call.server.namespace)) return DENY.stopped;
  if (!call.bound) return TOOL.bound;
  if (!call.offered) return TOOL.offered;
  const targets = [...agents, { kind: 'RemoteMCPServer', ...call.server }];
  for (const target of targets) {
    if (target === undefined) return TOOL.chain;
    const refusal = restrict(table, principal, target, call, now);
    if (refusal !== undefined) return refusal;
  }
  return TOOL.allowed;
}

/** `deny` wins. Where a grant that may match has an `allow` list, a list of one that surely matches must admit the tool. */
function restrict(
  table: PolicyTable,
  principal: Principal,
  target: Omit<PolicyResource, 'owner'>,
  call: ToolCall,
  now: number,
): Decision | undefined {
  let listed = false;
  let admitted = false;
  for (const { grant, certain } of restrictionsOn(table, principal, target, now)) {
    if (grant.deny?.some((pattern) => names(pattern, call, undefined))) return TOOL.denied;
    if (grant.allow === undefined) continue;
    listed = true;
    admitted ||= certain && grant.allow.some((pattern) => names(pattern, call, grant.namespace));
  }
  return listed && !admitted ? TOOL.notListed : undefined;
}

/** `[namespace.]server/tool`. A bare server name is that of `namespace`, or of any where that is undefined. */
function names(pattern: string, { server, tool }: ToolCall, namespace: string | undefined): boolean {
  const slash = pattern.indexOf('/');
  if (slash === -1) return false;
  const wanted = pattern.slice(slash + 1);
  if (wanted !== '*' && wanted !== tool) return false;
  const where = pattern.slice(0, slash);
  if (where === '*' || where === `${server.namespace}.${server.name}`) return true;
  return where === server.name && (namespace === undefined || namespace === server.namespace);
}

const TOOL = {
  allowed: decision('allow', 'tool', 'bound, offered, and not forbidden'),
  chain: decision('deny', 'tool_chain', 'an agent of the chain does not exist'),
  run: decision('deny', 'tool_run', 'the user may not run an agent of the chain'),
  server: decision('deny', 'tool_server', 'the tool server is switched off'),
  bound: decision('deny', 'tool_bound', 'the tool is not bound to the agent'),
  offered: decision('deny', 'tool_offered', 'the server does not offer the tool'),
  denied: decision('deny', 'tool_denied', 'a grant forbids the tool'),
  notListed: decision('deny', 'tool_not_listed', 'no grant with a list of tools admits this one'),
} as const;

function decision(effect: Decision['effect'], rule: string, reason: string): Decision {
  return Object.freeze({ effect, rule, reason });
}
