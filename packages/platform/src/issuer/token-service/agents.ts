import type { AgentIdentity } from '@onbehalf/resources';
import { SecretValue } from '@onbehalf/secret-value';
import type { JWTPayload } from 'jose';
import type { UsedAssertion } from '../../people/index.ts';
import type { Registry } from '../../store/index.ts';
import type { SigningKeys } from '../keys.ts';
import type { TokenClient } from './client-auth.ts';
import { type Check, pass, TokenError } from './errors.ts';

/** Seconds that a token that names an agent lives at most. */
export const AGENT_TOKEN_LIFE = 60;

export const agentSubject = ({ namespace, name }: Pick<AgentIdentity, 'namespace' | 'name'>) =>
  `agent:${namespace}/${name}`;

/** The agent of that subject, if it is there and switched on. */
export function agentOf(registry: Registry, subject: unknown): AgentIdentity | undefined {
  const [, namespace, name] = /^agent:([a-z0-9-]+)\/([a-z0-9-]+)$/.exec(String(subject)) ?? [];
  if (namespace === undefined || name === undefined) return undefined;
  const agent = registry.get('Agent', namespace, name);
  if (agent === undefined || agent.spec.enabled === false) return undefined;
  return { uid: agent.metadata.uid, namespace, name };
}

interface Facts {
  payload: JWTPayload;
  issuer: string;
  agent: AgentIdentity | undefined;
  client: TokenClient;
}

type Row = Omit<Check<Facts>, 'error'>;

/** What names an agent: `actor+jwt` (RFC 8693 section 2.1) or the assertion of RFC 7523 section 2.1. */
const CHECKS: readonly Row[] = [
  {
    name: 'agent_token_audience',
    says: 'the token that names the agent is for another service',
    passes: ({ payload, issuer }) => payload.aud === issuer,
  },
  {
    name: 'agent_token_life',
    says: 'the token that names the agent lives too long',
    passes: ({ payload }) => Number(payload.exp) - Number(payload.iat) <= AGENT_TOKEN_LIFE,
  },
  {
    name: 'agent_token_jti',
    says: 'the token that names the agent has no jti',
    passes: ({ payload }) => typeof payload.jti === 'string' && payload.jti !== '',
  },
  {
    // Made again under one name, it is another agent.
    name: 'agent_known',
    says: 'the agent is not known or switched off',
    passes: ({ payload, agent }) => agent !== undefined && payload.agent_uid === agent.uid,
  },
  {
    // RFC 8693 section 1.1: the actor is the client, or somebody the client may speak for.
    name: 'agent_of_client',
    says: 'the agent is not one of the client',
    passes: ({ agent, client }) =>
      client.agents === 'all' || client.agents.includes(`${agent?.namespace}/${agent?.name}`),
  },
];

/** @throws TokenError */
export async function verifyAgentToken(
  token: string,
  typ: 'actor+jwt' | 'assertion+jwt',
  client: TokenClient,
  o: { issuer: string; keys: SigningKeys; registry: Registry },
): Promise<{ agent: AgentIdentity; used: UsedAssertion }> {
  const error = typ === 'actor+jwt' ? 'invalid_request' : 'invalid_grant';
  const payload = await o.keys.verify(SecretValue.of(token), typ).catch(() => {
    throw new TokenError(error, 'agent_token_valid', 'the token that names the agent is not valid');
  });
  const agent = agentOf(o.registry, payload.sub);
  pass(
    CHECKS.map((check) => ({ ...check, error })),
    { payload, issuer: o.issuer, agent, client },
  );
  if (agent === undefined) throw new TypeError('checked above');
  const expiresAt = Number(payload.exp) * 1000;
  return { agent, used: { issuer: `agent:${agent.uid}`, jti: String(payload.jti), expiresAt, error } };
}
