import { AccessError, type Principal, type Verifier } from '@onbehalf/access';
import { SecretValue } from '@onbehalf/secret-value';
import { decodeJwt } from 'jose';
import * as oauth from 'oauth4webapi';
import type { Egress } from '../egress/index.ts';
import type { PrincipalName } from '../people/index.ts';
import { VaultError } from '../vault/index.ts';
import { LoginError } from './error.ts';
import { type LoginTokens, renewAt, type UnjudgedAnswer } from './session-rows.ts';
import type { BegunSignIn, LoginSource, Renewed, SignedIn } from './source.ts';
import type { LoginIssuer } from './types.ts';

const METADATA_LIFE = 600_000;
const LIMITS = { totalMs: 10_000, maxBytes: 262_144 };
/** A sign-out is not held up by an issuer that does not answer. */
const END_WITHIN = 3_000;
/** What an issuer that says nothing of the lifetime gets, in milliseconds. */
const UNSAID_LIFE = 60_000;
/** However long it says that one lives: of an opaque token nothing else tells the end. */
const LONGEST_LIFE = 86_400_000;

type Sent = oauth.CustomFetchOptions<string, URLSearchParams | undefined>;

export interface ForeignLoginOptions {
  publicUrl: string;
  login: LoginIssuer;
  egress: Egress;
  verifier: Verifier;
  now: () => number;
}

/** Sign-in at another issuer, as the confidential client that its TrustedIssuer names (OpenID Connect Core 1.0 section 3.1). */
export function foreignLogin(o: ForeignLoginOptions): LoginSource {
  const { login, verifier, now } = o;
  const { issuer, name } = login;
  const callback = `/login/callback/${name}`;
  const redirectUri = `${o.publicUrl}${callback}`;
  const client: oauth.Client = { client_id: login.clientId };
  const sent = {
    [oauth.customFetch]: (url: string, { body, signal, ...init }: Sent) =>
      o.egress.fetch(url, { ...init, ...(signal && { signal }), ...(body && { body }), limits: LIMITS }),
    // Which addresses may be reached without TLS is for egress to say.
    [oauth.allowInsecureRequests]: true,
  };
  const credential =
    (endpoint = ''): oauth.ClientAuth =>
    async (_server, _client, body, headers) => {
      await login.authenticate(endpoint, body, headers, AbortSignal.timeout(LIMITS.totalMs));
    };
  let metadata: { value: Promise<oauth.AuthorizationServer>; until: number } | undefined;

  function server(): Promise<oauth.AuthorizationServer> {
    if (metadata !== undefined && now() < metadata.until) return metadata.value;
    const value = discover();
    metadata = { value, until: now() + METADATA_LIFE };
    value.catch(() => {
      metadata = undefined;
    });
    return value;
  }

  async function discover(): Promise<oauth.AuthorizationServer> {
    const url = new URL(issuer);
    try {
      const found = await oauth.processDiscoveryResponse(url, await oauth.discoveryRequest(url, sent));
      // The library compares what the URL parser makes of both.
      if (found.issuer !== issuer) throw unavailable(`the metadata of ${name} names another issuer`);
      const { authorization_endpoint: authorize, token_endpoint: token } = found;
      if (authorize === undefined || token === undefined)
        throw unavailable(`the metadata of ${name} lacks an endpoint`);
      // The browser is sent to the first, secrets to the others.
      const others = [found.userinfo_endpoint, found.revocation_endpoint, found.end_session_endpoint];
      for (const endpoint of [authorize, token, ...others])
        if (endpoint !== undefined && new URL(endpoint).protocol !== url.protocol)
          throw unavailable(`an endpoint of ${name} is not on https`);
      return found;
    } catch (error) {
      if (error instanceof LoginError) throw error;
      throw unavailable(`the metadata of ${name} cannot be read`);
    }
  }

  /** An access token that we can read names somebody by itself; of an opaque one the ID token does (with UserInfo). */
  async function look(
    as: oauth.AuthorizationServer,
    said: oauth.TokenEndpointResponse,
    before: LoginTokens | undefined,
    nonce: string | undefined,
    at = now(),
  ): Promise<SignedIn> {
    const { access_token: accessToken, id_token: idToken } = said;
    const named =
      idToken === undefined
        ? undefined
        : await known(() =>
            verifier.verifyIdToken(SecretValue.of(idToken), {
              ...{ issuer, fromIssuer: true },
              ...(nonce !== undefined && { nonce }),
            }),
          );
    const refreshToken = said.refresh_token ?? before?.refreshToken;
    const kept = idToken ?? before?.idToken;
    const until = at + (said.expires_in === undefined ? UNSAID_LIFE : Math.min(said.expires_in * 1000, LONGEST_LIFE));
    const tokens: LoginTokens = {
      accessToken,
      expiresAt: until,
      renewAt: renewAt(until, at),
      ...(refreshToken !== undefined && { refreshToken }),
      ...(kept !== undefined && { idToken: kept }),
    };
    if (isJwt(accessToken)) {
      const holder = await known(() => verifier.verify(SecretValue.of(accessToken), 'api', { fromIssuer: true }));
      if (named !== undefined && !same(named, holder)) throw new Mismatch();
      const expiresAt = Math.min(until, holder.expiresAt ?? until);
      return {
        tokens: { ...tokens, expiresAt, renewAt: renewAt(expiresAt, at) },
        who: holder,
        sid: holder.sid ?? named?.sid,
      };
    }
    if (kept === undefined) throw unusable(`${name} answers with opaque access tokens and no ID token`);
    if (as.userinfo_endpoint === undefined)
      throw unusable(`the access tokens of ${name} are opaque, and it has no UserInfo that says whose they are`);
    // OpenID Connect Core 1.0 section 5.3.2: both must name the same subject.
    const answer = await oauth.userInfoRequest(as, client, accessToken, sent);
    const info = await oauth.processUserInfoResponse(as, client, oauth.skipSubjectCheck, answer);
    if (info.sub !== decodeJwt<{ sub?: unknown }>(kept).sub) throw new Mismatch();
    const who = named ?? (await known(() => verifier.recallIdToken(SecretValue.of(kept), issuer)));
    return { tokens: { ...tokens, opaque: true }, who, sid: who.sid };
  }

  /** What cannot be judged now (keys that are not to be had, a clock ahead of ours, an audience) may be good later. */
  async function judge(as: oauth.AuthorizationServer, answer: UnjudgedAnswer, before: LoginTokens): Promise<Renewed> {
    const refreshToken = refreshTokenIn(answer);
    const kept = refreshToken === undefined ? {} : { refreshToken };
    try {
      const response = new Response(answer.body, { headers: { 'content-type': 'application/json' } });
      const said = await oauth.processRefreshTokenResponse(as, client, response);
      return await look(as, said, before, undefined, answer.receivedAt);
    } catch (error) {
      if (error instanceof Mismatch) return { failed: 'two_people', ...kept };
      return { failed: 'unavailable', unjudged: answer, ...kept };
    }
  }

  return {
    name,
    issuer,
    callback,
    async authorize({ state, nonce, verifier: proof }) {
      const as = await server();
      const address = new URL(as.authorization_endpoint ?? '');
      const query = {
        client_id: client.client_id,
        response_type: 'code',
        redirect_uri: redirectUri,
        scope: [...new Set(['openid', ...login.scopes])].join(' '),
        state,
        nonce,
        code_challenge: await oauth.calculatePKCECodeChallenge(proof),
        code_challenge_method: 'S256',
      };
      for (const [key, value] of Object.entries(query)) address.searchParams.set(key, value);
      for (const [key, value] of targets(login)) address.searchParams.append(key, value);
      return address.href;
    },
    async redeem(answer, begun: BegunSignIn) {
      const as = await server();
      try {
        const parameters = oauth.validateAuthResponse(as, client, answer.searchParams, begun.state);
        const response = await oauth.authorizationCodeGrantRequest(
          as,
          client,
          credential(as.token_endpoint),
          parameters,
          redirectUri,
          begun.verifier,
          { ...sent, additionalParameters: targets(login) },
        );
        const said = await oauth.processAuthorizationCodeResponse(as, client, response, {
          expectedNonce: begun.nonce,
          requireIdToken: true,
        });
        return await look(as, said, undefined, begun.nonce);
      } catch (error) {
        throw loginError(error, name);
      }
    },
    async renew(tokens): Promise<Renewed> {
      const { refreshToken, unjudged } = tokens;
      try {
        const as = await server();
        if (unjudged !== undefined && !isStale(unjudged, now())) return await judge(as, unjudged, tokens);
        if (refreshToken === undefined) return { failed: 'refused' };
        const response = await oauth.refreshTokenGrantRequest(as, client, credential(as.token_endpoint), refreshToken, {
          ...sent,
          additionalParameters: targets(login),
        });
        const body = await response.text();
        if (response.status === 200) return await judge(as, { body, receivedAt: now() }, tokens);
        await oauth.processRefreshTokenResponse(as, client, new Response(body, response));
      } catch (error) {
        // RFC 6749 section 5.2: the refresh token is spent, revoked, or over.
        if (error instanceof oauth.ResponseBodyError && error.error === 'invalid_grant') return { failed: 'refused' };
      }
      return { failed: 'unavailable' };
    },
    async verify({ accessToken, expiresAt, idToken = '', opaque }) {
      if (!opaque) return verifier.verify(SecretValue.of(accessToken), 'api');
      const principal = await verifier.recallIdToken(SecretValue.of(idToken), issuer);
      return { ...principal, credential: { ...principal.credential, expiresAt } };
    },
    async end({ refreshToken, accessToken, idToken }) {
      const options = { ...sent, signal: AbortSignal.timeout(END_WITHIN) };
      const as = await server().catch(() => undefined);
      if (as === undefined) return;
      const token = refreshToken ?? accessToken;
      await Promise.allSettled([
        // RFC 7009
        as.revocation_endpoint &&
          oauth.revocationRequest(as, client, credential(as.revocation_endpoint), token, options),
        // OpenID Connect RP-Initiated Logout 1.0 section 2: by POST, so that no token is in an address.
        as.end_session_endpoint &&
          idToken !== undefined &&
          o.egress.fetch(as.end_session_endpoint, {
            method: 'POST',
            body: new URLSearchParams({ id_token_hint: idToken, client_id: client.client_id }),
            redirect: 'manual',
            signal: options.signal,
            limits: LIMITS,
          }),
      ]);
    },
  };
}

const unavailable = (why: string) => new LoginError('login_unavailable', why);
const unusable = (why: string) => new LoginError('login_unusable', why);

/** The two tokens of one answer speak of two people. */
class Mismatch extends Error {}

type Who = PrincipalName & { sid?: string; expiresAt?: number };

/** Whom a token names, also one who may not enter: that is said at the door. */
async function known(verify: () => Promise<Principal>): Promise<Who> {
  try {
    const { issuer, subject, credential } = await verify();
    const { sid, expiresAt } = credential;
    return { issuer, subject, ...(sid !== undefined && { sid }), ...(expiresAt !== undefined && { expiresAt }) };
  } catch (error) {
    if (error instanceof AccessError && error.status === 403 && error.principal !== undefined) return error.principal;
    throw error;
  }
}

const same = (one: PrincipalName, other: PrincipalName) => one.issuer === other.issuer && one.subject === other.subject;

/** RFC 8707 section 2; `audience` is what services call it that do not know it. */
const targets = ({ resource, audience }: LoginIssuer): [string, string][] => [
  ...resource.map((value): [string, string] => ['resource', value]),
  ...audience.map((value): [string, string] => ['audience', value]),
];

const isJwt = (token: string) => /^eyJ[^.]*\.[^.]*\.[^.]*$/.test(token);

const fieldsOf = ({ body }: UnjudgedAnswer): Record<string, unknown> => {
  try {
    return Object(JSON.parse(body)) as Record<string, unknown>;
  } catch {
    return {};
  }
};

function refreshTokenIn(answer: UnjudgedAnswer): string | undefined {
  const { refresh_token: token } = fieldsOf(answer);
  return typeof token === 'string' && token !== '' ? token : undefined;
}

/** The access token in it has ended, or there is none: another one is to be asked for. */
function isStale(answer: UnjudgedAnswer, now: number): boolean {
  const { access_token: token, expires_in: seconds } = fieldsOf(answer);
  const life = Number(seconds) > 0 ? Math.min(Number(seconds) * 1000, LONGEST_LIFE) : UNSAID_LIFE;
  return typeof token !== 'string' || now >= answer.receivedAt + life;
}

/** HTML, a page of an error, something cut off: no answer of a provider at all. */
const NO_ANSWER: ReadonlySet<string | undefined> = new Set([
  oauth.RESPONSE_IS_NOT_CONFORM,
  oauth.RESPONSE_IS_NOT_JSON,
  oauth.PARSE_ERROR,
]);

/** What the person is told. The library's errors hold the answer: none of it goes on. */
function loginError(error: unknown, name: string): LoginError {
  if (error instanceof LoginError) return error;
  if (error instanceof oauth.AuthorizationResponseError)
    return new LoginError(error.error === 'access_denied' ? 'login_refused' : 'login_failed', refusalOf(error, name));
  if (error instanceof oauth.ResponseBodyError)
    return new LoginError('login_failed', `${name} refused the code: ${printable(error.error)}`);
  // It was ended between the code and its answer, at the issuer or here.
  if (error instanceof AccessError && error.code === 'token_revoked')
    return new LoginError('login_failed', `this sign-in at ${name} has ended already`);
  if (error instanceof AccessError && error.code === 'keys_unavailable')
    return unavailable(`the keys of ${name} cannot be had`);
  if (error instanceof AccessError && error.code === 'audience_mismatch')
    return unusable(
      `the \`aud\` of what ${name} answers holds none of its TrustedIssuer's \`audiences.api\`: add an audience mapper for one to the client that people sign in with (audience_mismatch)`,
    );
  if (error instanceof AccessError)
    return unusable(`the tokens of ${name} are not accepted here: ${error.message} (${error.code})`);
  if (error instanceof Mismatch) return unusable(`the tokens of ${name} name two people`);
  if (error instanceof VaultError) return unavailable(`the client secret of ${name} cannot be used (${error.code})`);
  const answered = error instanceof oauth.OperationProcessingError && !NO_ANSWER.has(error.code);
  if (answered || error instanceof oauth.UnsupportedOperationError)
    return new LoginError('login_failed', `the answer of ${name} is not to this sign-in`);
  return unavailable(`${name} did not answer as expected`);
}

const refusalOf = ({ error }: oauth.AuthorizationResponseError, name: string) => `${name} answered ${printable(error)}`;

const printable = (code: string) => (/^[a-z_]{1,40}$/.test(code) ? code : 'an error');
