import { timingSafeEqual } from 'node:crypto';
import { decodeJwt, decodeProtectedHeader, type JSONWebKeySet, type JWTPayload } from 'jose';
import { hashOf, type UsedAssertion } from '../../people/index.ts';
import { openJws, publicKeysOf } from '../jws.ts';
import type { ClientGrant } from '../types.ts';
import { type Check, pass, TokenError } from './errors.ts';
import type { Form } from './form.ts';

/** A client that may ask for tokens. */
export interface TokenClient {
  id: string;
  grants: readonly ClientGrant[];
  /** `namespace/name` of the agents that it may name as actors, or all. */
  agents: readonly string[] | 'all';
  jwks?: JSONWebKeySet;
  /** SHA-256 of its secret, base64url. */
  secretHash?: string;
}

export interface AuthenticatedClient {
  client: TokenClient;
  /** What its assertion has to be remembered by. */
  used: readonly UsedAssertion[];
}

export interface ClientAuthOptions {
  issuer: string;
  find(id: string): Promise<TokenClient | undefined>;
  now: () => number;
}

const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
const ALGORITHMS = ['ES256', 'EdDSA', 'Ed25519', 'PS256', 'RS256'];
/** Seconds that an assertion may live at most. */
const ASSERTION_LIFE = 300;
const SKEW = 30;

const refused = (check: string) => new TokenError('invalid_client', check, 'the client could not be authenticated');

interface AssertionFacts {
  typ: string | undefined;
  payload: JWTPayload;
  client: string;
  issuer: string;
  /** Seconds. */
  now: number;
}

/** RFC 7523 section 3, with draft-ietf-oauth-rfc7523bis: the audience is the issuer and nothing beside it. */
const ASSERTION_CHECKS: readonly Check<AssertionFacts>[] = [
  row(
    'assertion_type',
    ({ typ }) => typ === undefined || ['jwt', 'client-authentication+jwt'].includes(typ.toLowerCase()),
  ),
  row('assertion_issuer', ({ payload, client }) => payload.iss === client && payload.sub === client),
  row('assertion_audience', ({ payload, issuer }) => payload.aud === issuer),
  row('assertion_expiry', ({ payload, now }) => (payload.exp ?? 0) > now && (payload.exp ?? 0) <= now + ASSERTION_LIFE),
  row('assertion_times', ({ payload, now }) =>
    [payload.iat, payload.nbf].every((at) => at === undefined || at <= now + SKEW),
  ),
  row('assertion_jti', ({ payload }) => typeof payload.jti === 'string' && /^.{1,256}$/.test(payload.jti)),
];

function row(name: string, passes: Check<AssertionFacts>['passes']): Check<AssertionFacts> {
  return { name, error: 'invalid_client', says: 'the client could not be authenticated', passes };
}

/** Exactly one method, and the one that the client is registered with. @throws TokenError `invalid_client` */
export async function authenticateClient(
  form: Form,
  authorization: string | undefined,
  options: ClientAuthOptions,
): Promise<AuthenticatedClient> {
  const methods = [authorization, form.get('client_secret'), form.get('client_assertion')];
  if (methods.filter((method) => method !== undefined).length !== 1) throw refused('one_authentication');
  const assertion = form.get('client_assertion');
  if (assertion !== undefined) return byAssertion(form, assertion, options);
  const { id, secret } = authorization === undefined ? byForm(form) : byHeader(form, authorization);
  const client = await options.find(id);
  // Hashes have one length, so that nothing but the comparison's result shows.
  const wanted = Buffer.from(client?.secretHash ?? hashOf(''));
  const same = timingSafeEqual(Buffer.from(hashOf(secret)), wanted);
  if (client?.secretHash === undefined || !same) throw refused('client_secret');
  return { client, used: [] };
}

async function byAssertion(form: Form, assertion: string, o: ClientAuthOptions): Promise<AuthenticatedClient> {
  if (form.get('client_assertion_type') !== ASSERTION_TYPE) throw refused('client_assertion_type');
  const id = form.get('client_id') ?? subjectOf(assertion);
  const client = await o.find(id);
  if (client?.jwks === undefined) throw refused('client_known');
  const now = o.now();
  const { typ, payload } = openAssertion(assertion, client.jwks);
  pass(ASSERTION_CHECKS, { typ, payload, client: id, issuer: o.issuer, now: now / 1000 });
  return {
    client,
    used: [
      {
        issuer: `client:${id}`,
        jti: String(payload.jti),
        expiresAt: (Number(payload.exp) + SKEW) * 1000,
        error: 'invalid_client',
      },
    ],
  };
}

function openAssertion(assertion: string, jwks: JSONWebKeySet) {
  try {
    return openJws(assertion, publicKeysOf(jwks), ALGORITHMS);
  } catch {
    throw refused('assertion_signature');
  }
}

function subjectOf(assertion: string): string {
  try {
    decodeProtectedHeader(assertion);
    return decodeJwt(assertion).sub ?? '';
  } catch {
    throw refused('assertion_malformed');
  }
}

function byForm(form: Form): { id: string; secret: string } {
  return { id: form.get('client_id') ?? '', secret: form.get('client_secret') ?? '' };
}

/** RFC 6749 section 2.3.1: both halves are form-encoded before they are joined. */
function byHeader(form: Form, authorization: string): { id: string; secret: string } {
  const [, encoded] = /^basic +([A-Za-z0-9+/]+=*)$/i.exec(authorization) ?? [];
  const text = Buffer.from(encoded ?? '', 'base64').toString('utf8');
  const colon = text.indexOf(':');
  if (colon < 1) throw refused('basic_malformed');
  const id = decode(text.slice(0, colon));
  const named = form.get('client_id');
  if (named !== undefined && named !== id) throw refused('one_client');
  return { id, secret: decode(text.slice(colon + 1)) };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    throw refused('basic_malformed');
  }
}
