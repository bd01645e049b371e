import { SecretValue } from '@onbehalf/secret-value';
import { createTokenExchange, type ExchangeOutcome, type SubjectSource, type Target } from '@onbehalf/token-exchange';
import { decodeJwt } from 'jose';
import { postForm } from './browser.ts';
import type { IdentityFixture } from './fixture.ts';

export const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
export const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
export const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';
export const JWT = 'urn:ietf:params:oauth:token-type:jwt';
export const DELEGATION = 'urn:onbehalf:token-type:delegation';
export const ASSERTION = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

export const agentNamed = (f: IdentityFixture, name: 'assistant' | 'researcher') => ({
  uid: f.uids[name],
  namespace: 'default',
  name,
});

/** The fields of a right exchange; a test spoils what it is about. */
export async function exchangeForm(f: IdentityFixture, subject: string, resource: string, scope = 'orders.read') {
  const { platform } = f.identity;
  const actor = await platform.actorFor(agentNamed(f, 'assistant')).current(f.publicUrl);
  return {
    grant_type: EXCHANGE,
    ...(await platformAuth(f)),
    subject_token: subject,
    subject_token_type: ACCESS_TOKEN,
    actor_token: actor.token.reveal(),
    actor_token_type: JWT,
    resource,
    scope,
  } as Record<string, string>;
}

export async function platformAuth(f: IdentityFixture) {
  const { client } = f.identity.platform;
  return {
    client_id: 'platform',
    client_assertion_type: ASSERTION,
    client_assertion: (await client.sign(f.publicUrl)).reveal(),
  };
}

export const exchange = async (f: IdentityFixture, subject: string, resource: string, scope?: string) =>
  postForm(f.publicUrl, await exchangeForm(f, subject, resource, scope));

/** What the tools room builds for the embedded service. */
export function platformExchange(f: IdentityFixture, outcomes: ExchangeOutcome[] = []) {
  const { platform } = f.identity;
  return createTokenExchange({
    tokenService: { name: 'onbehalf', profile: 'onbehalf', issuer: f.publicUrl, client: platform.client },
    installation: 'test',
    workload: platform.workload,
    fetch: platform.fetch,
    now: f.now,
    hooks: { onOutcome: (outcome) => void outcomes.push(outcome) },
  });
}

export const targetOf = (resource: string, scopes: string[]): Target => ({
  audience: [],
  resource: [resource],
  scopes,
});

export function bearerSubject(f: IdentityFixture, token: string): SubjectSource {
  const { sub = '', exp = 0, sid } = decodeJwt(token);
  return f.identity.subjectOfBearer(
    {
      ...{ issuer: f.publicUrl, subject: sub, kind: 'person', role: 'REGULAR', groups: [], groupsUnknown: true },
      delegated: false,
      credential: { kind: 'bearer', expiresAt: exp * 1000, sid: String(sid) },
    },
    SecretValue.of(token),
  );
}
