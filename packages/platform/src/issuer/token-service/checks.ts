import type { AgentIdentity } from '@onbehalf/resources';
import type { TokenClient } from './client-auth.ts';
import type { Check } from './errors.ts';
import type { Form } from './form.ts';
import { ACCESS_TOKEN, type Act, DELEGATION, JWT, type Subject } from './subject.ts';
import { type AskedTarget, isOurs, isResource, type RegisteredTarget } from './targets.ts';

/** Agents in a chain, the first included. */
const MAX_ACTORS = 5;

/** RFC 8693 section 2.1. */
export const EXCHANGE_FORM: readonly Check<{ form: Form; client: TokenClient }>[] = [
  {
    // RFC 6749 section 5.2
    name: 'client_may_exchange',
    error: 'unauthorized_client',
    says: 'the client may not exchange tokens',
    passes: ({ client }) => client.grants.includes('exchange'),
  },
  {
    name: 'subject_token_declared',
    error: 'invalid_request',
    says: 'subject_token and subject_token_type go together',
    passes: ({ form }) => form.has('subject_token') && form.has('subject_token_type'),
  },
  {
    // What is issued here is always through an agent: nobody can leave the actor out.
    name: 'actor_token_declared',
    error: 'invalid_request',
    says: 'actor_token with actor_token_type urn:ietf:params:oauth:token-type:jwt is required',
    passes: ({ form }) => form.has('actor_token') && form.get('actor_token_type') === JWT,
  },
  {
    name: 'requested_type_known',
    error: 'invalid_request',
    says: 'the requested token type is not issued here',
    passes: ({ form }) => [undefined, ACCESS_TOKEN, DELEGATION].includes(form.get('requested_token_type')),
  },
  {
    name: 'delegate_with_delegation',
    error: 'invalid_request',
    says: 'delegate and the requested token type of a delegation go together',
    passes: ({ form }) => form.has('delegate') === (form.get('requested_token_type') === DELEGATION),
  },
];

export interface ActorFacts {
  subject: Subject;
  actor: AgentIdentity;
  actorSubject: string;
  /** Of what would be issued. */
  act: Act;
  /** Agents that act already, as far as they are there and switched on. */
  above: readonly (AgentIdentity | undefined)[];
}

/** RFC 8693 sections 4.1 and 4.4. */
export const ACTOR: readonly Check<ActorFacts>[] = [
  {
    name: 'may_act',
    error: 'invalid_request',
    says: 'the subject token names another actor',
    passes: ({ subject, actorSubject }) => subject.mayAct === undefined || subject.mayAct === actorSubject,
  },
  {
    // A delegation is for the child that it names, whatever else the token may say.
    name: 'delegation_names_its_child',
    error: 'invalid_request',
    says: 'the subject token names no actor',
    passes: ({ subject }) => subject.kind !== 'delegation' || subject.mayAct !== undefined,
  },
  {
    name: 'chain_length',
    error: 'invalid_request',
    says: `more than ${MAX_ACTORS} agents in a chain`,
    passes: ({ act }) => chainOf(act).length <= MAX_ACTORS,
  },
  {
    // Whoever is switched off in the middle stops what was begun through it.
    name: 'chain_enabled',
    error: 'invalid_request',
    says: 'an agent above this one is not known or switched off',
    passes: ({ subject, above }) => subject.kind === 'foreign' || above.every((agent) => agent !== undefined),
  },
];

export interface TargetFacts {
  asked: AskedTarget;
  publicUrl: string;
  /** Servers that register exactly this. */
  registered: readonly RegisteredTarget[];
  /** Those of them that this caller may use. */
  allowed: readonly RegisteredTarget[];
}

const unknown = 'the target is not known here, or not allowed for this user and agent';

/** RFC 8707 section 2, and who may ask for what. */
export const TARGET: readonly Check<TargetFacts>[] = [
  {
    name: 'target_named',
    error: 'invalid_target',
    says: 'resource or audience is missing',
    passes: ({ asked }) => asked.resource !== undefined || asked.audience !== undefined,
  },
  {
    name: 'resource_absolute',
    error: 'invalid_target',
    says: 'resource must be an absolute URI without a fragment',
    passes: ({ asked }) => asked.resource === undefined || isResource(asked.resource),
  },
  {
    name: 'target_not_ours',
    error: 'invalid_target',
    says: unknown,
    passes: ({ asked, publicUrl }) =>
      [asked.resource, asked.audience].every((value) => value === undefined || !isOurs(value, publicUrl)),
  },
  {
    name: 'target_registered',
    error: 'invalid_target',
    says: unknown,
    passes: ({ registered }) => registered.length > 0,
  },
  {
    name: 'target_allowed',
    error: 'invalid_target',
    says: unknown,
    passes: ({ allowed }) => allowed.length > 0,
  },
];

export interface ScopeFacts {
  asked: readonly string[];
  granted: readonly string[];
}

export const SCOPE: readonly Check<ScopeFacts>[] = [
  {
    // RFC 6749 section 3.3: less than was asked is possible, nothing at all is an error.
    name: 'scope_granted',
    error: 'invalid_scope',
    says: 'none of the scopes is allowed here',
    passes: ({ asked, granted }) => asked.length === 0 || granted.length > 0,
  },
];

export interface DelegationFacts {
  form: Form;
  issuer: string;
  act: Act;
  child: AgentIdentity | undefined;
  actor: AgentIdentity;
  allowed: boolean;
}

/** The right of a child agent to continue: its audience is this service and nothing else. */
export const DELEGATION_REQUEST: readonly Check<DelegationFacts>[] = [
  {
    name: 'delegation_audience',
    error: 'invalid_target',
    says: 'a delegation has the issuer as audience, and no resource',
    passes: ({ form, issuer }) => (form.get('audience') ?? issuer) === issuer && form.get('resource') === undefined,
  },
  {
    name: 'delegation_chain_length',
    error: 'invalid_request',
    says: `more than ${MAX_ACTORS} agents in a chain`,
    passes: ({ act }) => chainOf(act).length < MAX_ACTORS,
  },
  {
    name: 'delegate_known',
    error: 'invalid_target',
    says: unknown,
    passes: ({ child, actor, allowed }) => child !== undefined && child.uid !== actor.uid && allowed,
  },
];

/** The agent that acts now first. */
export function chainOf(act: Act | undefined): readonly Act[] {
  return act === undefined ? [] : [act, ...chainOf(act.act)];
}
