import { importJWK, type JWTPayload, jwtVerify } from 'jose';
import type { Issue, RefusalAnomaly } from './anomalies.ts';
import type { AuthenticatedClient } from './client-check.ts';
import type { Keys } from './keys.ts';

const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
const DELEGATION = 'urn:onbehalf:token-type:delegation';
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';

export interface GrantSettings {
  readonly issuer: string;
  /** Seconds. */
  readonly lifetime: number;
  readonly now: () => number;
  /** Issue `act` from the actor token. */
  readonly act: boolean;
  readonly subId: boolean;
  /** `sub` of people from another issuer. */
  readonly prefix: string;
  /** Audiences and resources that are known; all are, when left out. */
  readonly targets: readonly string[] | undefined;
}

/** The standard behaviour: RFC 8693, 8707, 9068, with `sub_id` of RFC 9493. */
export async function issueFor(
  form: URLSearchParams,
  client: AuthenticatedClient,
  keys: readonly Keys[],
  platform: Keys,
  settings: GrantSettings,
): Promise<Issue | RefusalAnomaly> {
  const targets = form.getAll('audience').length > 0 ? form.getAll('audience') : form.getAll('resource');
  const wanted = [...form.getAll('audience'), ...form.getAll('resource')];
  const delegation = form.get('requested_token_type') === DELEGATION;
  const unknown = wanted.find((target) => !delegation && settings.targets?.includes(target) === false);
  if (unknown !== undefined) return { error: 'invalid_target' };
  const iat = Math.floor(settings.now() / 1000);
  const claims: Record<string, unknown> = {
    iss: settings.issuer,
    aud: targets.length === 1 ? targets[0] : targets,
    client_id: client.id,
    azp: client.id,
    iat,
    exp: iat + settings.lifetime,
    jti: crypto.randomUUID(),
    ...(form.has('scope') && { scope: form.get('scope') }),
  };
  const issue: Issue = {
    claims,
    typ: delegation ? 'delegation+jwt' : 'at+jwt',
    signedBy: 'own',
    body: {
      issued_token_type: delegation ? DELEGATION : ACCESS_TOKEN,
      token_type: 'Bearer',
      expires_in: settings.lifetime,
      ...(form.has('scope') && { scope: form.get('scope') }),
    },
  };
  switch (form.get('grant_type')) {
    case 'client_credentials':
      claims.sub = `client:${client.id}`;
      delete issue.body.issued_token_type;
      return issue;
    case JWT_BEARER: {
      const assertion = await verify(form.get('assertion'), [platform], settings);
      if (assertion === undefined) return { error: 'invalid_grant' };
      claims.sub = assertion.sub;
      delete issue.body.issued_token_type;
      return issue;
    }
    case EXCHANGE:
      return exchange(form, issue, keys, platform, settings);
    default:
      return { error: 'unsupported_grant_type' };
  }
}

async function exchange(
  form: URLSearchParams,
  issue: Issue,
  keys: readonly Keys[],
  platform: Keys,
  settings: GrantSettings,
): Promise<Issue | RefusalAnomaly> {
  if (form.has('actor_token') !== form.has('actor_token_type')) return { error: 'invalid_request' };
  const subject = await verify(form.get('subject_token'), keys, settings);
  if (subject?.sub === undefined) return { error: 'invalid_request', description: 'the subject token is not valid' };
  const { claims } = issue;
  const foreign = subject.iss !== settings.issuer && subject.sub_id === undefined;
  claims.sub = foreign && settings.prefix !== '' ? `${settings.prefix}:${subject.sub}` : subject.sub;
  if (settings.subId) claims.sub_id = subject.sub_id ?? { format: 'iss_sub', iss: subject.iss, sub: subject.sub };
  if (subject.sid !== undefined) claims.sid = subject.sid;
  if (subject.tid !== undefined) Object.assign(claims, { tid: subject.tid, oid: subject.oid });
  const actor = form.has('actor_token') ? await verify(form.get('actor_token'), [platform], settings) : undefined;
  if (form.has('actor_token') && actor === undefined) return { error: 'invalid_request', description: 'bad actor' };
  const allowed = Object(subject.may_act).sub;
  if (allowed !== undefined && actor?.sub !== allowed) return { error: 'invalid_request', description: 'may_act' };
  if (settings.act && (actor !== undefined || subject.act !== undefined)) {
    claims.act = actor
      ? { sub: actor.sub, iss: actor.iss, agent_uid: actor.agent_uid, ...(subject.act ? { act: subject.act } : {}) }
      : subject.act;
  }
  if (form.has('delegate')) claims.may_act = { sub: form.get('delegate') };
  return issue;
}

async function verify(
  token: string | null,
  keys: readonly Keys[],
  settings: GrantSettings,
): Promise<JWTPayload | undefined> {
  for (const one of keys) {
    try {
      const key = await importJWK(one.publicJwk, one.alg);
      const { payload } = await jwtVerify(token ?? '', key, { currentDate: new Date(settings.now()) });
      return payload;
    } catch {
      // the next key may have signed it
    }
  }
  return undefined;
}

/** What introspection says: the claims of a token that this service issued (RFC 7662 section 2.2). */
export function introspectionOf(token: string, issued: ReadonlyMap<string, Record<string, unknown>>): object {
  const claims = issued.get(token);
  return claims === undefined ? { active: false } : { active: true, ...claims };
}
