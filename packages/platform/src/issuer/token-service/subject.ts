import {
  type Door,
  type IssuerConfig,
  issuerNames,
  type Principal,
  type PrincipalLookup,
  type Verifier,
} from '@onbehalf/access';
import { isObject } from '@onbehalf/resources';
import { SecretValue } from '@onbehalf/secret-value';
import { decodeJwt, decodeProtectedHeader, type JWTPayload } from 'jose';
import type { PrincipalName } from '../../people/index.ts';
import type { SigningKeys } from '../keys.ts';
import { TokenError } from './errors.ts';

export const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';
export const JWT = 'urn:ietf:params:oauth:token-type:jwt';
export const DELEGATION = 'urn:onbehalf:token-type:delegation';

const MAX_LENGTH = 16 * 1024;

export interface Act {
  sub: string;
  iss?: string;
  agent_uid?: string;
  act?: Act;
}

/** For whom a token is asked, as far as a verified subject token says. */
export interface Subject {
  kind: 'login' | 'minted' | 'delegation' | 'foreign';
  /** Whom `disabled`, grants and `sub_id` are about. */
  principal: PrincipalName;
  /** `sub` of what is issued: two issuers' `42` are two people. */
  sub: string;
  /** Seconds since the epoch. */
  expiresAt: number;
  act: Act | undefined;
  mayAct: string | undefined;
  /** Of a delegation: what may be asked at most. */
  scopes: readonly string[] | undefined;
  sid: string | undefined;
  jti: string | undefined;
}

export interface SubjectOptions {
  issuer: string;
  /** Audiences of our own doors. */
  doors: Readonly<Record<Door, string>>;
  keys: SigningKeys;
  principals: PrincipalLookup;
  /** Of our own tokens, for a door. */
  own: Verifier;
  /** Of other issuers' tokens that are meant for this service or one of its clients. @throws AccessError */
  foreign(token: SecretValue, clientId: string): Promise<Principal>;
  trusted: () => readonly IssuerConfig[];
  now: () => number;
}

/** RFC 8693 section 2.2.2: a bad subject token is `invalid_request`. */
const refused = (check: string, says = 'the subject token is not valid') =>
  new TokenError('invalid_request', check, says);

/** Told apart by `typ`, and each accepted under the token types that it may be declared as. */
const DECLARED: ReadonlyMap<string, readonly string[]> = new Map([
  ['at+jwt', [ACCESS_TOKEN, JWT]],
  ['subject+jwt', [JWT]],
  ['delegation+jwt', [DELEGATION]],
]);

/** @throws TokenError `invalid_request` */
export async function validateSubject(
  token: string,
  declared: string,
  client: string,
  o: SubjectOptions,
): Promise<Subject> {
  const { typ, payload } = peek(token);
  const subject =
    payload.iss === o.issuer
      ? await ownSubject(token, typ, declared, client, o)
      : await foreignSubject(token, declared, client, payload, o);
  if (subject.expiresAt <= o.now() / 1000) throw refused('subject_not_expired', 'the subject token has expired');
  return subject;
}

/** What decides which rules a token is verified by; none of it is believed yet. */
function peek(token: string): { typ: string; payload: JWTPayload } {
  if (token.length > MAX_LENGTH) throw refused('subject_length');
  try {
    const { typ = '' } = decodeProtectedHeader(token);
    return { typ: typ.toLowerCase().replace(/^application\//, ''), payload: decodeJwt(token) };
  } catch {
    throw refused('subject_is_a_jwt');
  }
}

async function ownSubject(token: string, typ: string, declared: string, client: string, o: SubjectOptions) {
  if (!DECLARED.get(typ)?.includes(declared)) throw refused('subject_of_declared_type', 'the token is of another type');
  if (typ === 'at+jwt') return loginSubject(token, o);
  const payload = await o.keys.verify(SecretValue.of(token), typ).catch(() => {
    throw refused('subject_signature');
  });
  if (payload.aud !== o.issuer) throw refused('subject_audience');
  // What was delegated through one client is of no use to another.
  if (typ === 'delegation+jwt' && payload.client_id !== client) throw refused('delegation_of_client');
  const principal = subjectId(payload) ?? { issuer: o.issuer, subject: String(payload.sub) };
  admit(principal, payload, o);
  const kind = typ === 'delegation+jwt' ? 'delegation' : 'minted';
  const scopes = kind === 'delegation' && typeof payload.scope === 'string' ? payload.scope.split(' ') : undefined;
  return { ...claimsOf(payload), kind, principal, sub: String(payload.sub), scopes } satisfies Subject;
}

/** A login's token names a door, and nothing that was exchanged does: it cannot be exchanged again. */
async function loginSubject(token: string, o: SubjectOptions): Promise<Subject> {
  const payload = decodeJwt(token);
  const audiences = [payload.aud].flat();
  const doors = Object.entries(o.doors) as [Door, string][];
  const door = doors.find(([, audience]) => audiences.includes(audience))?.[0];
  if (door === undefined) throw refused('subject_audience', 'the token is for another audience');
  const { subject } = await verified(() => o.own.verify(SecretValue.of(token), door));
  const principal = { issuer: o.issuer, subject };
  return { ...claimsOf(payload), kind: 'login', principal, sub: subject, scopes: undefined };
}

async function foreignSubject(
  token: string,
  declared: string,
  client: string,
  payload: JWTPayload,
  o: SubjectOptions,
): Promise<Subject> {
  if (declared !== ACCESS_TOKEN && declared !== JWT) throw refused('subject_of_declared_type');
  // RFC 8693 section 2.1 leaves it to us: the person's token must be meant for whoever brings it.
  const audiences = [payload.aud].flat();
  if (!audiences.includes(o.issuer) && !audiences.includes(client)) throw refused('subject_audience');
  const { issuer, subject } = await verified(() => o.foreign(SecretValue.of(token), client));
  const config = o.trusted().find((known) => issuerNames(known).includes(issuer));
  const prefix = config?.subjectPrefix ?? config?.name ?? issuer;
  const sub = prefix === '' ? subject : `${prefix}:${subject}`;
  // Without a prefix a subject could be one of our own people, or pass for another issuer's or for an agent.
  if (prefix === '' && (o.principals.lookup(o.issuer, subject) !== undefined || isPrefixed(subject, o.trusted())))
    throw refused('subject_distinct', 'the subject is also the name of somebody else');
  return {
    ...claimsOf(payload),
    kind: 'foreign',
    principal: { issuer, subject },
    sub,
    scopes: undefined,
  };
}

function isPrefixed(subject: string, trusted: readonly IssuerConfig[]): boolean {
  const first = /^([^:]*):/.exec(subject)?.[1];
  if (first === undefined) return false;
  return (
    ['agent', 'client', 'legacy'].includes(first) || trusted.some((one) => (one.subjectPrefix ?? one.name) === first)
  );
}

async function verified(verify: () => Promise<Principal>): Promise<Principal> {
  try {
    return await verify();
  } catch {
    throw refused('subject_verified');
  }
}

/** As the verifier does for what comes to a door. @throws TokenError */
function admit(principal: PrincipalName, payload: JWTPayload, { principals, issuer }: SubjectOptions): void {
  const record = principals.lookup(principal.issuer, principal.subject);
  const gone = principal.issuer === issuer && (record === undefined || record.role === 'INACTIVE');
  if (gone || record?.disabled) throw refused('principal_active');
  const issuedAt = Number(payload.iat);
  const revoked = principals.denied({ ...principal, ...pick(payload, 'sid'), ...pick(payload, 'jti'), issuedAt });
  if (revoked || issuedAt < (record?.notBefore ?? 0)) throw refused('subject_not_revoked');
}

function claimsOf(payload: JWTPayload) {
  const mayAct = payload.may_act;
  if (mayAct !== undefined && !(isObject(mayAct) && typeof mayAct.sub === 'string')) throw refused('may_act_syntax');
  return {
    expiresAt: Number(payload.exp),
    act: payload.act === undefined ? undefined : readAct(payload.act, 0),
    mayAct: isObject(mayAct) ? String(mayAct.sub) : undefined,
    sid: typeof payload.sid === 'string' ? payload.sid : undefined,
    jti: payload.jti,
  };
}

function readAct(value: unknown, depth: number): Act {
  if (!isObject(value) || typeof value.sub !== 'string' || depth > 16) throw refused('act_syntax');
  const { sub, iss, agent_uid: uid, act } = value;
  return {
    sub,
    ...(typeof iss === 'string' && { iss }),
    ...(typeof uid === 'string' && { agent_uid: uid }),
    ...(act !== undefined && { act: readAct(act, depth + 1) }),
  };
}

/** RFC 9493 section 3.2.1. */
function subjectId({ sub_id: id }: JWTPayload): PrincipalName | undefined {
  if (!isObject(id) || typeof id.iss !== 'string' || typeof id.sub !== 'string') return undefined;
  return { issuer: id.iss, subject: id.sub };
}

function pick<Name extends string>(payload: JWTPayload, name: Name): { [N in Name]?: string } {
  const value = payload[name];
  return typeof value === 'string' ? ({ [name]: value } as { [N in Name]: string }) : {};
}
