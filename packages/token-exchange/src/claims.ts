import { untrusted } from './errors.ts';
import { objectOf } from './json.ts';
import type { ActClaim, TokenClaims } from './types.ts';

const isString = (value: unknown) => typeof value === 'string';
const isStrings = (value: unknown) => isString(value) || (Array.isArray(value) && value.every(isString));
const isTime = (value: unknown) => Number.isFinite(value);
const isStringsIn = (names: readonly string[]) => (value: unknown) => {
  const object = objectOf(value);
  return object !== undefined && names.every((name) => object[name] === undefined || isString(object[name]));
};

/** RFC 8693 section 4.1; it names who acts, or it is none. */
function isActor(value: unknown, depth = 1): boolean {
  const object = objectOf(value);
  if (object === undefined || depth > 16 || !isString(object.sub)) return false;
  return isStringsIn(['iss', 'agent_uid'])(object) && (object.act === undefined || isActor(object.act, depth + 1));
}

/** Of a text where a number belongs, each parser makes something else. */
const TYPES = Object.entries<(value: unknown) => boolean>({
  iss: isString,
  sub: isString,
  aud: isStrings,
  exp: isTime,
  nbf: isTime,
  iat: isTime,
  jti: isString,
  azp: isString,
  client_id: isString,
  sid: isString,
  scope: isStrings,
  scp: isStrings,
  act: isActor,
  may_act: isStringsIn(['sub', 'iss']),
  sub_id: isStringsIn(['format', 'iss', 'sub']),
});

/** `typ` in the payload of what is no access token (Keycloak writes it there). */
const OTHER_KINDS: readonly unknown[] = ['id', 'refresh', 'offline', 'logout'];

/**
 * The claims that decisions go by. Throws `untrusted_response` where one is not of the type that its RFC gives it, or where
 * they are those of an ID, refresh, logout or event token.
 */
export function readClaims(payload: Record<string, unknown>): TokenClaims {
  for (const [name, hasType] of TYPES) {
    if (payload[name] === undefined || hasType(payload[name])) continue;
    throw untrusted(`the token service issued a token whose ${name} is of the wrong type`, { deviation: 'claims' });
  }
  // RFC 8417 section 2.2: `events` makes it an event.
  if (payload.events !== undefined || OTHER_KINDS.includes(String(payload.typ).toLowerCase())) {
    throw untrusted('the token service issued a token of another kind', { deviation: 'typ' });
  }
  const subId = objectOf(payload.sub_id);
  const mayAct = objectOf(payload.may_act);
  const act = objectOf(payload.act);
  const scope = readScope(payload);
  return {
    aud: [payload.aud ?? []].flat() as string[],
    ...pick(payload, ['iss', 'sub', 'azp', 'client_id', 'sid', 'jti', 'tid', 'oid', 'uid', 'cid', 'appid'], 'string'),
    ...pick(payload, ['iat', 'nbf', 'exp'], 'number'),
    ...(scope === undefined ? {} : { scope }),
    ...(subId === undefined ? {} : { sub_id: pick(subId, ['format', 'iss', 'sub'], 'string') }),
    ...(mayAct === undefined ? {} : { may_act: pick(mayAct, ['sub', 'iss'], 'string') }),
    ...(act === undefined ? {} : { act: readAct(act) }),
  };
}

/** The actors in `act`, the one that acts now first (RFC 8693 section 4.1). */
export function actorChain(act: ActClaim | undefined): readonly string[] {
  const chain: string[] = [];
  for (let current = act; current !== undefined; current = current.act) chain.push(current.sub);
  return chain;
}

function readAct(object: Record<string, unknown>): ActClaim {
  const act = objectOf(object.act);
  return {
    sub: String(object.sub),
    ...pick(object, ['iss', 'agent_uid'], 'string'),
    ...(act === undefined ? {} : { act: readAct(act) }),
  };
}

/** `scope` (RFC 8693 section 4.2) and `scp` together: a tool server may read either. */
function readScope({ scope, scp }: Record<string, unknown>): string | undefined {
  if (scp === undefined && (scope === undefined || typeof scope === 'string')) return scope;
  const words = [scope ?? [], scp ?? []].flat().flatMap((text) => String(text).split(' '));
  return [...new Set(words.filter((word) => word !== ''))].join(' ');
}

type Kinds = { string: string; number: number };

function pick<Name extends string, Kind extends keyof Kinds>(
  source: Record<string, unknown>,
  names: readonly Name[],
  kind: Kind,
): { [N in Name]?: Kinds[Kind] } {
  const found: { [N in Name]?: Kinds[Kind] } = {};
  for (const name of names) {
    const value = source[name];
    if (typeof value === kind && value !== '') found[name] = value as Kinds[Kind];
  }
  return found;
}
