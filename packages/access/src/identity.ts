import { isTime, stringList } from './checks.ts';
import { AccessError } from './errors.ts';
import { isObject, type JsonObject } from './json.ts';
import {
  type Credential,
  capRole,
  highestRole,
  type IssuerConfig,
  isRole,
  type Principal,
  type PrincipalLookup,
  type Role,
} from './types.ts';

/** What a verified token says for as long as it lives; the decision whether its holder may enter is taken each time. */
export interface Identity {
  principal: Omit<Principal, 'role'>;
  claimedRole: Role | undefined;
  issuedAt: number | undefined;
  /** What `admit` made of it last, so that what is computed of a principal is computed once. */
  admitted?: Principal;
}

export function identityOf(payload: JsonObject, issuer: IssuerConfig, tokenHash: string): Identity {
  const { name = 'name', email = 'email', roles, groups } = issuer.claims ?? {};
  const textsAt = (path: string) => textsIn(claimAt(payload, path), () => issuer.onOddClaim?.(path));
  const groupList = groups === undefined || overflowed(payload, groups) ? undefined : textsAt(groups);
  const actors = actorsOf(payload.act);
  return {
    principal: {
      issuer: String(payload.iss),
      subject: subjectOf(payload, issuer),
      kind: kindOf(payload),
      ...stringMember('name', claimAt(payload, name)),
      ...stringMember('email', claimAt(payload, email)),
      groups: groupList ?? [],
      groupsUnknown: groupList === undefined,
      delegated: actors.length > 0,
      ...(actors.length > 0 ? { act: actors } : {}),
      credential: credentialOf(payload, tokenHash),
    },
    claimedRole: roles === undefined ? capRole('REGULAR', issuer.maxRole) : roleOf(textsAt(roles), issuer),
    issuedAt: isTime(payload.iat) ? payload.iat : undefined,
  };
}

/**
 * The principal, if it may enter at this moment. Not cached: a disabled person's cached token is refused as well.
 * @throws {AccessError} `token_revoked`, `principal_disabled`, `principal_inactive`
 */
export function admit(identity: Identity, issuer: IssuerConfig, principals: PrincipalLookup): Principal {
  const { principal, claimedRole, issuedAt } = identity;
  const { issuer: iss, subject, credential } = principal;
  const who = { issuer: iss, subject };
  const record = principals.lookup(iss, subject);
  if (record?.disabled) throw new AccessError('principal_disabled', 'the principal is disabled', who);
  // A token that does not say when it was issued cannot show that it is the newer one.
  const tooOld = record?.notBefore !== undefined && (issuedAt === undefined || issuedAt < record.notBefore);
  const { sid, jti } = credential;
  const denied = principals.denied({
    ...who,
    ...(sid === undefined ? {} : { sid }),
    ...(jti === undefined ? {} : { jti }),
    ...(issuedAt === undefined ? {} : { issuedAt }),
  });
  if (tooOld || denied) throw new AccessError('token_revoked', 'the token was revoked', who);
  const role = capRole((issuer.rolesFromPrincipals ? record?.role : claimedRole) ?? 'INACTIVE', issuer.maxRole);
  if (role === 'INACTIVE') throw new AccessError('principal_inactive', 'the principal has no active role', who);
  const known = issuer.rolesFromPrincipals ? record : undefined;
  const { kind = principal.kind, name = principal.name, email = principal.email } = known ?? {};
  const last = identity.admitted;
  const same = last?.role === role && last.kind === kind && last.name === name && last.email === email;
  if (same) return last;
  identity.admitted = Object.freeze({
    ...principal,
    role,
    kind,
    ...(name === undefined ? {} : { name }),
    ...(email === undefined ? {} : { email }),
  });
  return identity.admitted;
}

/** The largest role that the issuer's map knows, else the map's `*`, else none. Capped. */
export function roleOf(claim: unknown, issuer: Pick<IssuerConfig, 'roleMap' | 'maxRole'>): Role | undefined {
  const map = issuer.roleMap;
  const mapped = (stringList(claim) ?? []).flatMap((value) => {
    if (map === undefined) return isRole(value) ? value : [];
    return value !== '*' && Object.hasOwn(map, value) ? (map[value] ?? []) : [];
  });
  const role = highestRole(mapped) ?? map?.['*'];
  return role === undefined ? undefined : capRole(role, issuer.maxRole);
}

/** A text, or those in a list; undefined where there is neither. What else a list holds names nothing. */
function textsIn(value: unknown, odd: () => void): readonly string[] | undefined {
  const texts = stringList(value);
  if (texts !== undefined || !Array.isArray(value)) return texts;
  odd();
  return value.filter((item) => typeof item === 'string');
}

/** The steps of a path, dots between them; what stands in quotes is one step. Undefined where it is none. */
function stepsOf(path: string): readonly string[] | undefined {
  const steps = paths.get(path) ?? readPath(path);
  if (steps !== undefined && paths.size < MAX_PATHS) paths.set(path, steps);
  return steps;
}
const paths = new Map<string, readonly string[]>();
const MAX_PATHS = 1_000;

function readPath(path: string): readonly string[] | undefined {
  if (!/^(?:"[^"]+"|[^".]+)(?:\.(?:"[^"]+"|[^".]+))*$/.test(path)) return undefined;
  return (path.match(/"[^"]+"|[^".]+/g) ?? []).map((step) => step.replaceAll('"', ''));
}

/** The value at a claim's own name, else at a path into objects. */
function claimAt(payload: JsonObject, path: string): unknown {
  if (Object.hasOwn(payload, path)) return payload[path];
  let value: unknown = payload;
  for (const name of stepsOf(path) ?? [path]) {
    if (!isObject(value) || !Object.hasOwn(value, name)) return undefined;
    value = value[name];
  }
  return value;
}

/** Whether the token says that there were too many groups (Entra's `hasgroups`, `_claim_names`). */
function overflowed(payload: JsonObject, path: string): boolean {
  const elsewhere = payload._claim_names;
  return payload.hasgroups !== undefined || (isObject(elsewhere) && Object.hasOwn(elsewhere, path));
}

/** Injective: with several claims, a value that holds the separator would let two people meet in one subject. */
export function subjectOf(payload: JsonObject, issuer: IssuerConfig): string {
  const parts = issuer.subjectClaims.map((name) => String(payload[name]));
  if (parts.length > 1 && parts.some((part) => part.includes(':'))) {
    throw new AccessError('subject_invalid', 'a part of the subject holds a colon');
  }
  return parts.join(':');
}

/** RFC 9068 section 2.2: with client credentials the subject is the client. `idtyp` is Entra's word for the same. */
function kindOf(payload: JsonObject): Principal['kind'] {
  if (isObject(payload['kubernetes.io'])) return 'workload';
  const { sub, client_id: clientId, azp, idtyp } = payload;
  return idtyp === 'app' || clientId === sub || azp === sub ? 'service' : 'person';
}

function actorsOf(act: unknown): readonly string[] {
  return isObject(act) ? [String(act.sub), ...actorsOf(act.act)] : [];
}

function credentialOf(payload: JsonObject, tokenHash: string): Credential {
  const { auth_time: authTime, amr, scope, scp } = payload;
  const scopes = stringList(scope) ?? stringList(scp);
  const methods = Array.isArray(amr) ? stringList(amr) : undefined;
  return {
    kind: 'bearer',
    tokenHash,
    expiresAt: Number(payload.exp) * 1000,
    ...stringMember('sid', payload.sid),
    ...stringMember('jti', payload.jti),
    ...stringMember('azp', payload.azp),
    ...stringMember('clientId', payload.client_id),
    ...(isTime(authTime) ? { authTime } : {}),
    ...(methods === undefined ? {} : { amr: methods }),
    ...(scopes === undefined ? {} : { scope: scopes.join(' ') }),
  };
}

function stringMember<K extends string>(key: K, value: unknown): { [P in K]?: string } {
  return typeof value === 'string' && value !== '' ? ({ [key]: value } as { [P in K]?: string }) : {};
}
