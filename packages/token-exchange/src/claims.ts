import { objectOf } from './metadata.ts';
import type { ActClaim, TokenClaims } from './types.ts';

/** The claims that decisions go by, each of the type that its RFC gives it; one of another type counts as absent. */
export function readClaims(payload: Record<string, unknown>): TokenClaims {
  const subId = objectOf(payload.sub_id);
  const mayAct = objectOf(payload.may_act);
  const act = readAct(payload.act);
  const scope = readScope(payload.scope ?? payload.scp);
  return {
    aud: readAudience(payload.aud),
    ...pick(payload, ['iss', 'sub', 'azp', 'client_id', 'sid', 'jti', 'tid', 'oid', 'uid', 'cid', 'appid'], 'string'),
    ...pick(payload, ['iat', 'nbf', 'exp'], 'number'),
    ...(scope === undefined ? {} : { scope }),
    ...(subId === undefined ? {} : { sub_id: pick(subId, ['format', 'iss', 'sub'], 'string') }),
    ...(mayAct === undefined ? {} : { may_act: pick(mayAct, ['sub', 'iss'], 'string') }),
    ...(act === undefined ? {} : { act }),
  };
}

/** The actors in `act`, the one that acts now first (RFC 8693 section 4.1). */
export function actorChain(act: ActClaim | undefined): readonly string[] {
  const chain: string[] = [];
  for (let current = act; current !== undefined; current = current.act) chain.push(current.sub);
  return chain;
}

function readAct(value: unknown, depth = 0): ActClaim | undefined {
  const object = objectOf(value);
  const sub = object?.sub;
  if (object === undefined || typeof sub !== 'string' || depth > 16) return undefined;
  const act = readAct(object.act, depth + 1);
  return { sub, ...pick(object, ['iss', 'agent_uid'], 'string'), ...(act === undefined ? {} : { act }) };
}

/** A string or an array of strings; anything else names nobody. */
function readAudience(value: unknown): readonly string[] {
  const list: unknown[] = Array.isArray(value) ? value : [value];
  return list.every((item): item is string => typeof item === 'string') ? list : [];
}

function readScope(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  return Array.isArray(value) && value.every((item) => typeof item === 'string') ? value.join(' ') : undefined;
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
