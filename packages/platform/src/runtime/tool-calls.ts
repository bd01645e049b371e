import { createHash } from 'node:crypto';
import { type AgentIdentity, type ExchangeView, namespaceOrDefault, qualifiedName } from '@onbehalf/resources';
import type { SubjectSource } from '@onbehalf/token-exchange';
import { type Audit, type AuditEntry, pickFields, recordsOf } from '../audit/index.ts';
import type { ModelToolCall } from '../models/index.ts';
import type { ToolResult, Tools } from '../tools/index.ts';
import { type AgentHashes, requestOf } from './audited.ts';
import { type CALL_REFUSALS, TurnFailure } from './errors.ts';
import type { Authorize, BoundTool, EventDraft, ToolOutcome, TurnInput } from './ports.ts';
import type { TurnLog } from './turn-log.ts';
import type { AuthWanted, TurnSubject } from './turn-subject.ts';

export interface ToolCallsOptions {
  audit: Audit;
  tools: Tools;
  log: TurnLog;
  turn: string;
  input: TurnInput;
  agent: AgentIdentity & { generation: number };
  hashes: AgentHashes;
  /** The bindings as they stand now: asked again at each call. */
  bound: () => readonly BoundTool[];
  authorize: Authorize;
  subject: TurnSubject;
  signal: AbortSignal;
}

/** The call could not be made with this token of the person. */
interface NeedsPerson {
  failed: SubjectSource;
  wanted: AuthWanted;
}

interface Refusal {
  code: keyof typeof CALL_REFUSALS;
  message: string;
  actBy: string;
  audit: Pick<AuditEntry, 'code' | 'reason'>;
}

const PARALLEL = 5;
/** Failures of an exchange that another sign-in of the person mends. */
const ENDED_SIGN_IN: ReadonlySet<string | undefined> = new Set([
  'user_token_required',
  'subject_rejected',
  'interaction_required',
]);

/**
 * The only way to a tool: binding → decision → approval → `tool.call` and audit intent durable → sent → outcome. A call
 * that may not be made is a tool error in the turn, and a line in the audit.
 */
export function createToolCalls(options: ToolCallsOptions) {
  const { log, audit, input } = options;
  let running = 0;
  const waiting: (() => void)[] = [];

  return async function callTool(step: number, call: ModelToolCall): Promise<ToolOutcome> {
    for (let again = false; ; again = true) {
      const done = await inTurn(() => attempt(step, call, again));
      if ('callId' in done) return done;
      // Without a place among those that run: calls that need no person go on.
      await options.subject.next(done.failed, done.wanted);
    }
  };

  async function inTurn<T>(work: () => Promise<T>): Promise<T> {
    while (running >= PARALLEL) await new Promise<void>((resolve) => waiting.push(resolve));
    running++;
    try {
      options.signal.throwIfAborted();
      return await work();
    } finally {
      running--;
      waiting.shift()?.();
    }
  }

  /** Made again, when the person has brought another token, everything is decided again. */
  async function attempt(step: number, call: ModelToolCall, again: boolean): Promise<ToolOutcome | NeedsPerson> {
    const tool = options.bound().find((known) => known.name === call.name);
    const values = parseArguments(call.arguments);
    const names = { server: tool?.serverName ?? '', tool: tool?.tool ?? call.name };
    const at = { step, callId: call.callId };
    const called: EventDraft[] = again
      ? []
      : [{ type: 'tool.call', ...at, data: { ...names, name: call.name, arguments: values ?? {} } }];
    const { refusal, decided } = refuse(tool, values, call);
    if (refusal) {
      const result: EventDraft = {
        type: 'tool.result',
        ...at,
        data: { ...names, isError: true, output: refusal.message, code: refusal.code, actBy: refusal.actBy },
      };
      await log.write([...called, result], {
        audit: [
          audit.line({
            ...entry(step, call, values, tool),
            ...decided,
            type: 'refusal',
            phase: 'single',
            ...refusal.audit,
          }),
        ],
      });
      return { callId: call.callId, name: call.name, output: refusal.message, isError: true };
    }
    if (!tool?.server || !values) throw new TurnFailure('internal', 'the call was admitted without a server');
    const ref = crypto.randomUUID();
    const line = { ...entry(step, call, values, tool), ...decided };
    await log.write([...called, { type: 'tool.sent', ...at, data: names }], {
      audit: [audit.line({ ...line, type: 'tool.call', phase: 'intent', ref })],
    });
    const views: ExchangeView[] = [];
    const subject = options.subject.source;
    let result: ToolResult;
    try {
      result = await options.tools.call({
        server: tool.server,
        tool: tool.tool,
        ...(tool.found && { inputSchema: tool.found.inputSchema }),
        arguments: values,
        target: tool.target,
        subject,
        agent: options.agent,
        session: input.session,
        turn: options.turn,
        step,
        callId: call.callId,
        signal: options.signal,
        door: input.door,
        ...requestOf(input),
        ...resultFieldsOf(tool),
        idempotent: tool.idempotent,
        ...(tool.timeoutMs !== undefined && { timeoutMs: tool.timeoutMs }),
        onExchange: (view) => views.push(view),
      });
    } catch (error) {
      // Sent perhaps, answered not: the turn was ended over it.
      await log
        .write([], {
          audit: [
            audit.line({ ...line, type: 'tool.call', phase: 'outcome', ref, outcome: 'unknown', reason: 'aborted' }),
          ],
        })
        .catch(() => undefined);
      throw error;
    }
    const last = views.at(-1);
    const asks =
      result.isError &&
      subject !== undefined &&
      ENDED_SIGN_IN.has(result.code) &&
      // Who has just signed in for it would do so for ever: something else is wrong.
      !(again && result.code === 'subject_rejected');
    const answered: EventDraft = {
      type: 'tool.result',
      ...at,
      data: {
        ...names,
        isError: result.isError,
        output: result.output,
        ms: result.ms,
        ...(result.code !== undefined && { code: result.code }),
        ...(result.actBy !== undefined && { actBy: result.actBy }),
        ...(result.truncated && { truncated: true }),
      },
    };
    await log.write(
      [...views.map((data): EventDraft => ({ type: 'exchange', ...at, data })), ...(asks ? [] : [answered])],
      {
        audit: [
          audit.line({
            ...line,
            type: 'tool.call',
            phase: 'outcome',
            ref,
            outcome: result.unknown ? 'unknown' : result.isError ? 'error' : 'ok',
            latencyMs: result.ms,
            ...(result.code !== undefined && { code: result.code }),
            ...recorded(line, result),
            ...(last && {
              token: {
                ...(last.jti !== undefined && { jti: last.jti }),
                ...(last.hash !== undefined && { hash: last.hash }),
              },
            }),
            data: { exchange: last?.result ?? null, ...(result.repeated && { repeated: true }) },
          }),
        ],
      },
    );
    if (asks) {
      const { code = '', claimsChallenge } = result;
      return { failed: subject, wanted: { reason: code, ...(claimsChallenge !== undefined && { claimsChallenge }) } };
    }
    return { callId: call.callId, name: call.name, output: result.output, isError: result.isError };
  }

  /** The named checks of a call, in their order; and what the policy decided, if it was asked. */
  function refuse(
    tool: BoundTool | undefined,
    values: Record<string, unknown> | undefined,
    call: ModelToolCall,
  ): { refusal?: Refusal; decided: Pick<AuditEntry, 'decision' | 'rule' | 'policyRevision'> } {
    const failed = (code: keyof typeof CALL_REFUSALS, message: string, actBy: string, decided = {}) => ({
      refusal: { code, message, actBy, audit: { code, reason: message } },
      decided,
    });
    if (!tool) return failed('tool_unknown', `there is no tool ${call.name.slice(0, 128)}`, 'model');
    if (!tool.server || !tool.offered)
      return failed('tool_not_offered', tool.problem ?? 'the tool is not offered', 'administrator');
    const { metadata } = tool.server;
    const verdict = options.authorize.tool({
      agents: [options.agent],
      server: {
        uid: metadata.uid,
        namespace: namespaceOrDefault(metadata),
        name: metadata.name,
        enabled: tool.server.spec.enabled !== false,
      },
      tool: tool.tool,
      bound: true,
      offered: tool.offered,
    });
    const decided = {
      decision: verdict.effect,
      rule: verdict.rule,
      ...(verdict.revision !== undefined && { policyRevision: verdict.revision }),
    };
    if (verdict.effect !== 'allow')
      return failed('tool_denied', `not allowed: ${verdict.reason}`, 'administrator', decided);
    if (!values) return failed('bad_arguments', 'the arguments are no JSON object', 'model', decided);
    if (tool.requireApproval)
      return failed(
        'approval_unavailable',
        `${call.name} needs an approval, which this version cannot ask for`,
        'administrator',
        decided,
      );
    return { decided };
  }

  function entry(
    step: number,
    call: ModelToolCall,
    values: Readonly<Record<string, unknown>> | undefined,
    tool: BoundTool | undefined,
  ): Pick<AuditEntry, 'principal' | 'agent' | 'tool'> & Partial<AuditEntry> {
    const server = tool?.server;
    const named = namedArguments(tool, values);
    return {
      principal: input.caller.audit,
      door: input.door,
      session: input.session,
      turn: options.turn,
      step,
      call: call.callId,
      ...requestOf(input),
      agent: { ...options.agent, ...options.hashes },
      chain: [{ agent: `agent:${qualifiedName(options.agent)}`, uid: options.agent.uid }],
      ...(server && {
        target: {
          kind: 'RemoteMCPServer',
          uid: server.metadata.uid,
          server: tool.serverRef,
          mode: server.spec.auth?.mode ?? 'None',
          ...(server.writer && { registeredBy: { issuer: server.writer.issuer, subject: server.writer.subject } }),
        },
      }),
      tool: {
        name: tool?.tool ?? call.name.slice(0, 128),
        ...(tool && { server: tool.serverRef }),
        ...(tool?.found && { schemaHash: tool.found.hash }),
        ...recordedArguments(tool, call, named),
      },
      ...argumentRecords(named),
    };
  }
}

/** As the server's `audit` says: nothing, a hash, or named fields. */
function recordedArguments(tool: BoundTool | undefined, call: ModelToolCall, named: NamedArguments) {
  if (tool?.server?.spec.audit?.arguments === 'Hash')
    return { arguments: { sha256: createHash('sha256').update(call.arguments).digest('base64url') } };
  return named && { arguments: named };
}

type NamedArguments = ReturnType<typeof namedArguments>;
function namedArguments(tool: BoundTool | undefined, values: Readonly<Record<string, unknown>> | undefined) {
  const policy = tool?.server?.spec.audit;
  if (policy?.arguments !== 'Fields' || !tool) return undefined;
  return pickFields(values ?? {}, policy.fields?.[tool.tool] ?? []);
}

/** Which records a call was about: by its arguments, before it is sent. */
function argumentRecords(named: NamedArguments): Pick<AuditEntry, 'records'> {
  const records = recordsOf(named ?? {});
  return records.length === 0 ? {} : { records };
}

function resultFieldsOf(tool: BoundTool): { resultFields?: readonly string[] } {
  const pointers = tool.server?.spec.audit?.resultFields?.[tool.tool];
  return pointers === undefined || pointers.length === 0 ? {} : { resultFields: pointers };
}

/** What the answer adds: the named fields of it, and the records that they name. */
function recorded(line: Partial<AuditEntry>, { fields }: ToolResult): Pick<AuditEntry, 'records' | 'tool'> {
  if (fields === undefined || line.tool === undefined) return {};
  return {
    tool: { ...line.tool, result: fields },
    records: [...new Set([...(line.records ?? []), ...recordsOf(fields)])],
  };
}

function parseArguments(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text === '' ? '{}' : text);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}
