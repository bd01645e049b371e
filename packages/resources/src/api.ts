import { z } from 'zod';
import { exchangeView, sessionEvent, turnStates, usage } from './events.ts';
import { roles, secretData, verbs } from './identity-kinds.ts';
import { kindNames } from './kinds.ts';
import { metadata, principalRef } from './metadata.ts';

/** RFC 9457 problem document. `code` is stable; `errors` lists every mistake of a document. */
export const problem = z.looseObject({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  code: z.string(),
  detail: z.string().exactOptional(),
  errors: z
    .array(
      z.strictObject({ file: z.string(), document: z.int(), line: z.int(), path: z.string(), message: z.string() }),
    )
    .exactOptional(),
});
export type Problem = z.infer<typeof problem>;

export const resourceView = z.strictObject({
  apiVersion: z.string(),
  kind: z.enum(kindNames),
  metadata,
  spec: z.record(z.string(), z.unknown()),
  status: z.record(z.string(), z.unknown()),
});
export const resourceList = z.strictObject({ items: z.array(resourceView), revision: z.int() });

/** `documents`: plain objects, or the text of multi-document YAML; `file` names that text in errors. */
export const applyRequest = z.strictObject({
  documents: z.union([z.string(), z.array(z.unknown()).max(2_000)]),
  file: z.string().max(256).exactOptional(),
  dryRun: z.boolean().exactOptional(),
  prune: z.boolean().exactOptional(),
  /** Binds Grants anew whose target was made again under its name; takes `admin` on it. */
  rebind: z.boolean().exactOptional(),
});
export type ApplyRequest = z.infer<typeof applyRequest>;
export const applyResult = z.strictObject({
  dryRun: z.boolean(),
  results: z.array(
    z.strictObject({
      kind: z.enum(kindNames),
      namespace: z.string().exactOptional(),
      name: z.string(),
      uid: z.string(),
      resourceVersion: z.string(),
      action: z.enum(['created', 'configured', 'unchanged', 'deleted']),
      /** References that lead nowhere yet: accepted, and working as soon as what they name is there. */
      unresolved: z.array(z.string()).exactOptional(),
      /** A Grant whose target was made again under its name: `done` with `rebind`, else it gives nothing. */
      rebind: z.strictObject({ from: z.string(), to: z.string(), done: z.boolean() }).exactOptional(),
    }),
  ),
});
export type ApplyResult = z.infer<typeof applyResult>;

export const modelList = z.strictObject({
  object: z.literal('list'),
  data: z.array(z.strictObject({ id: z.string(), object: z.literal('model'), created: z.int(), owned_by: z.string() })),
});
export type ModelList = z.infer<typeof modelList>;

const origin = z.enum(['binding', 'server', 'agent', 'none']);
const explainedTarget = z.strictObject({
  audience: z.array(z.string()),
  resource: z.array(z.string()),
  scopes: z.array(z.string()),
  expectedAudience: z.array(z.string()),
  origin: z.strictObject({ audience: origin, resource: origin, scopes: origin }),
  /** `toolScopes` names this tool: its calls have these scopes alone. */
  ofTool: z.boolean().exactOptional(),
});
export const explanation = z.strictObject({
  agent: z.strictObject({
    namespace: z.string(),
    name: z.string(),
    uid: z.string(),
    enabled: z.boolean(),
    type: z.string(),
  }),
  model: z
    .strictObject({ name: z.string(), provider: z.string(), model: z.string(), problem: z.string().exactOptional() })
    .exactOptional(),
  tools: z.array(
    z.strictObject({
      name: z.string(),
      server: z.string(),
      tool: z.string(),
      mode: z.string(),
      approved: z.boolean(),
      requireApproval: z.boolean(),
      tokenService: z.string().exactOptional(),
      profile: z.string().exactOptional(),
      delegation: z.string().exactOptional(),
      target: explainedTarget.exactOptional(),
      problem: z.string().exactOptional(),
    }),
  ),
  callers: z.array(
    z.strictObject({
      to: z.string(),
      verbs: z.array(z.enum(verbs)),
      grant: z.string(),
      expiresAt: z.string().exactOptional(),
    }),
  ),
});
export type Explanation = z.infer<typeof explanation>;

export const sessionView = z.strictObject({
  id: z.string(),
  agent: z.strictObject({ namespace: z.string(), name: z.string(), uid: z.string() }),
  owner: principalRef,
  title: z.string(),
  door: z.string(),
  createdAt: z.string(),
  updatedAt: z.string(),
  lastSeq: z.int(),
  turn: z.strictObject({ id: z.string(), state: z.enum(turnStates) }).exactOptional(),
});
export type SessionView = z.infer<typeof sessionView>;
export const sessionList = z.strictObject({ items: z.array(sessionView) });
export const createSession = z.strictObject({ title: z.string().max(200).exactOptional() });

/** One user message. At most 1 MiB of text, without NUL. */
export const postMessage = z.strictObject({ content: z.string().min(1), source: z.string().max(64).exactOptional() });

/** An access token of the session's owner: at most 16 KiB, as at every door. */
export const turnToken = z.strictObject({ token: z.string().min(1).max(16_384) });

/** The JSON answer of a turn that has ended, or waits (`awaiting_auth`). */
export const turnResult = z.strictObject({
  session: z.string(),
  turn: z.string(),
  state: z.enum(turnStates),
  code: z.string().exactOptional(),
  message: z.string().exactOptional(),
  text: z.string(),
  usage,
  toolCalls: z.array(
    z.strictObject({
      callId: z.string(),
      server: z.string(),
      tool: z.string(),
      arguments: z.record(z.string(), z.unknown()),
      isError: z.boolean().exactOptional(),
      code: z.string().exactOptional(),
      output: z.string().exactOptional(),
      exchange: exchangeView.exactOptional(),
    }),
  ),
});
export type TurnResult = z.infer<typeof turnResult>;

export const eventPage = z.strictObject({ events: z.array(sessionEvent), lastSeq: z.int() });
export const stopResult = z.strictObject({ stopped: z.boolean(), turn: z.string().exactOptional() });

export const createTicket = z.strictObject({ agent: z.string() });
export const ticketView = z.strictObject({ ticket: z.string(), expiresInS: z.int() });

export const meView = z.strictObject({
  issuer: z.string(),
  subject: z.string(),
  name: z.string().exactOptional(),
  email: z.string().exactOptional(),
  role: z.enum(roles),
  groups: z.array(z.string()),
  kind: z.string(),
  delegated: z.boolean(),
  signedInBy: z.string(),
  expiresAt: z.string().exactOptional(),
  csrf: z.string().exactOptional(),
  /** Budgets of this person. `used` is left out where it is counted elsewhere. */
  limits: z.array(
    z.strictObject({ budget: z.string(), limit: z.int(), used: z.int().exactOptional(), says: z.string() }),
  ),
});
export type MeView = z.infer<typeof meView>;

export const principalView = z.strictObject({
  issuer: z.string(),
  subject: z.string(),
  kind: z.string(),
  name: z.string().exactOptional(),
  email: z.string().exactOptional(),
  role: z.enum(roles).exactOptional(),
  disabled: z.boolean(),
  createdAt: z.string(),
  lastSeen: z.string().exactOptional(),
});
export type PrincipalView = z.infer<typeof principalView>;
export const principalList = z.strictObject({ items: z.array(principalView) });

/** Makes a local user of the embedded issuer. The password, if any, comes in the body, never in a URL. */
export const createPrincipal = z.strictObject({
  subject: z
    .string()
    .regex(/^[a-z0-9][a-z0-9._-]{0,62}$/, 'must be letters, digits, ".", "_" or "-", starting with a letter or digit'),
  name: z.string().min(1).max(200).exactOptional(),
  email: z.email().exactOptional(),
  role: z.enum(roles).exactOptional(),
  password: z
    .string()
    .min(12, 'must have at least 12 characters')
    .max(256, 'must have at most 256 characters')
    .exactOptional(),
});
export const changePrincipal = z.strictObject({
  issuer: z.string(),
  subject: z.string(),
  role: z.enum(roles).exactOptional(),
  disabled: z.boolean().exactOptional(),
});

/** Local administration socket only. */
export const createLoginLink = z.strictObject({ user: z.string() });
export const loginLinkView = z.strictObject({ url: z.string(), user: z.string(), expiresAt: z.string() });

export const exchangeEntry = exchangeView.extend({
  id: z.string(),
  at: z.string(),
  session: z.string(),
  turn: z.string(),
  callId: z.string().exactOptional(),
  /** `namespace/name` */
  agent: z.string(),
  agentUid: z.string(),
  principal: principalRef,
});
export type ExchangeEntry = z.infer<typeof exchangeEntry>;
export const exchangeList = z.strictObject({
  items: z.array(exchangeEntry),
  /** Of the whole installation for AUDITOR and ADMIN, else of the entries shown. */
  tokenServiceRequests: z.int(),
  workloadTokenRequests: z.int(),
  /** For AUDITOR and ADMIN: what arrived at the embedded token service itself. */
  embedded: z
    .strictObject({ exchanges: z.int(), delegations: z.int(), workloads: z.int(), refused: z.int() })
    .exactOptional(),
});
export type ExchangeList = z.infer<typeof exchangeList>;

export const auditLine = z.looseObject({
  writer: z.string(),
  seq: z.int(),
  at: z.string(),
  type: z.string(),
  phase: z.string(),
});
export type AuditLine = z.infer<typeof auditLine>;
export const auditList = z.strictObject({ items: z.array(auditLine) });
/** What is proven, and against whom: `nobody` where nothing is. */
const auditProof = z.strictObject({
  claim: z.enum(['unchanged', 'complete']),
  since: z.string().nullable(),
  until: z.string().nullable(),
  against: z.string(),
});
export const witnessAcceptance = z.strictObject({
  at: z.string(),
  from: z.int(),
  by: z.string(),
  reason: z.string(),
});
export type WitnessAcceptance = z.infer<typeof witnessAcceptance>;
export const auditVerification = z.discriminatedUnion('ok', [
  z.strictObject({
    ok: z.literal(true),
    entries: z.int(),
    writers: z.int(),
    checkpoints: z.int(),
    erased: z.int(),
    proofs: z.array(auditProof),
    witness: z.strictObject({
      state: z.enum(['none', 'unreachable', 'empty', 'agrees']),
      place: z.string().exactOptional(),
      accepted: z.array(witnessAcceptance),
    }),
  }),
  z.strictObject({
    ok: z.literal(false),
    writer: z.string(),
    seq: z.int(),
    upTo: z.int().exactOptional(),
    reason: z.string(),
  }),
]);
export type AuditVerification = z.infer<typeof auditVerification>;

export const canIQuery = z.strictObject({
  verb: z.enum(verbs),
  kind: z.enum(kindNames),
  name: z.string(),
  namespace: z.string().exactOptional(),
  as: z.string().exactOptional(),
});
export const canIResult = z.strictObject({
  allowed: z.boolean(),
  effect: z.string(),
  rule: z.string(),
  reason: z.string(),
});
export type CanIResult = z.infer<typeof canIResult>;

/** Each as it was seen: one that has another hash by now is not approved. */
export const approveTools = z.strictObject({
  tools: z
    .array(z.strictObject({ name: z.string().max(128), hash: z.string().max(128) }))
    .min(1)
    .max(500),
});

/** Through which of one's agents; the first that binds the server when left out. */
export const trialQuery = z.strictObject({ agent: z.string().exactOptional() });
/** What an exchange as the caller came to. Never the token. */
export const exchangeTrial = z.strictObject({
  ok: z.boolean(),
  profile: z.string(),
  asked: z.strictObject({ audience: z.array(z.string()), resource: z.array(z.string()), scopes: z.array(z.string()) }),
  claims: z.record(z.string(), z.unknown()).exactOptional(),
  ms: z.number().exactOptional(),
  code: z.string().exactOptional(),
  message: z.string().exactOptional(),
  actBy: z.string().exactOptional(),
  /** What to do about it, in one sentence. */
  advice: z.string().exactOptional(),
  deviation: z.string().exactOptional(),
  service: z
    .strictObject({ status: z.int(), error: z.string().exactOptional(), description: z.string().exactOptional() })
    .exactOptional(),
});
export type ExchangeTrial = z.infer<typeof exchangeTrial>;

/** Secrets are written here and never read back. */
export const setSecret = z.strictObject({ data: secretData });
