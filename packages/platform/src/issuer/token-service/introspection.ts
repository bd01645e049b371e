import type { PrincipalLookup } from '@onbehalf/access';
import { SecretValue } from '@onbehalf/secret-value';
import { decodeProtectedHeader, type JWTPayload } from 'jose';
import { type UsedAssertion, useOnce } from '../../people/index.ts';
import type { Store } from '../../store/index.ts';
import type { SigningKeys } from '../keys.ts';
import { json, type WireResponse } from '../wire.ts';
import { authenticateClient, type ClientAuthOptions, type TokenClient } from './client-auth.ts';
import { orReplayed, TokenError } from './errors.ts';
import { type Form, required } from './form.ts';

/** A token is believed for this long after its end, and not less than the 30 s that verifiers of ours allow. */
const LEEWAY_MS = 60_000;

export interface IntrospectionOptions {
  issuer: string;
  store: Store;
  keys: SigningKeys;
  principals: PrincipalLookup;
  /** Ends a login by its refresh token, if that is of this client. */
  revokeRefreshToken(token: SecretValue, clientId: string): Promise<boolean>;
  /** Puts one token on the deny list; `until` in milliseconds since the epoch. */
  deny(claim: 'jti' | 'sid', value: string, until: number): Promise<void>;
  /** Clients that sign in without a secret of their own. */
  isPublicClient(id: string): boolean;
}

/** Token types that are somebody's access; actor tokens and assertions are nobody's. */
const TYPES = ['at+jwt', 'delegation+jwt', 'subject+jwt'];

/** RFC 7662, with `act` (RFC 8693 section 4.1). What is not active is not described. @throws TokenError */
export async function introspect(
  form: Form,
  client: TokenClient,
  used: readonly UsedAssertion[],
  o: IntrospectionOptions,
): Promise<WireResponse> {
  if (!client.grants.includes('introspect'))
    throw new TokenError('unauthorized_client', 'client_may_introspect', 'the client may not introspect tokens');
  await remember(used, o);
  const payload = await verified(required(form, 'token'), o);
  if (payload === undefined || !isLive(payload, o)) return json(200, { active: false });
  const { iss, sub, sub_id, aud, client_id, scope, act, may_act, jti, iat, exp } = payload;
  return json(200, {
    ...{ active: true, token_type: 'Bearer', iss, sub, sub_id, aud, client_id, scope, act, may_act, jti, iat, exp },
  });
}

/** RFC 7009: 200 whether or not there was something to revoke. @throws TokenError `invalid_client` */
export async function revoke(
  form: Form,
  authorization: string | undefined,
  authentication: ClientAuthOptions,
  o: IntrospectionOptions,
): Promise<WireResponse> {
  const credential = authorization ?? form.get('client_secret') ?? form.get('client_assertion');
  const id = form.get('client_id') ?? '';
  let client = id;
  if (credential !== undefined || !o.isPublicClient(id)) {
    const known = await authenticateClient(form, authorization, authentication);
    await remember(known.used, o);
    client = known.client.id;
  }
  const token = SecretValue.of(required(form, 'token'));
  if (await o.revokeRefreshToken(token, client)) return json(200, {});
  const payload = await verified(token.reveal(), o);
  if (payload?.client_id === client && payload.jti !== undefined)
    await o.deny('jti', payload.jti, Number(payload.exp) * 1000 + LEEWAY_MS);
  return json(200, {});
}

async function remember(used: readonly UsedAssertion[], { store }: IntrospectionOptions): Promise<void> {
  if (used.length === 0) return;
  try {
    await store.commit({ statements: useOnce(store, used) });
  } catch (error) {
    throw orReplayed(error);
  }
}

async function verified(token: string, { keys }: IntrospectionOptions): Promise<JWTPayload | undefined> {
  try {
    const { typ } = decodeProtectedHeader(token);
    return typ !== undefined && TYPES.includes(typ) ? await keys.verify(SecretValue.of(token), typ) : undefined;
  } catch {
    return undefined;
  }
}

function isLive({ sub_id: id, sub, sid, jti, iat }: JWTPayload, { principals, issuer }: IntrospectionOptions): boolean {
  const named = id as { iss?: unknown; sub?: unknown } | undefined;
  const who = { issuer: String(named?.iss ?? issuer), subject: String(named?.sub ?? sub) };
  const record = principals.lookup(who.issuer, who.subject);
  if (record?.disabled || Number(iat) < (record?.notBefore ?? 0)) return false;
  return !principals.denied({
    ...who,
    ...(typeof sid === 'string' && { sid }),
    ...(jti !== undefined && { jti }),
    issuedAt: Number(iat),
  });
}
