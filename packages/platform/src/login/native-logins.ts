import { hash, randomBytes } from 'node:crypto';
import { SecretValue } from '@onbehalf/secret-value';
import { decodeJwt } from 'jose';
import { denial, hashOf } from '../people/index.ts';
import { type CommitUnit, type Store, StoreError, type TicketRow } from '../store/index.ts';
import type { Vault } from '../vault/index.ts';
import { LoginError } from './error.ts';
import { IDLE, type Logins, newLogin } from './logins.ts';
import { type Ending, type Login, REFRESHED_ELSEWHERE } from './session-rows.ts';
import type { SignedIn } from './source.ts';

const CODE_LIFE = 60_000;
/** So long a person may look at the page that asks for their word. */
export const CONFIRM_LIFE = 300_000;
/** An answer may be lost, and two commands may ask at once: so long the handle before is answered with the one after. */
const GRACE = 30_000;
const USED = 'native_code_used';
const codePlace = { kind: 'SignIn', uid: 'native', field: 'code' };
const heldPlace = { kind: 'SignIn', uid: 'native', field: 'held' };

/** What the command line asks for, to the letter that its answer needs (RFC 6749 section 4.1.1, RFC 7636 section 4.3). */
export interface NativeRequest {
  redirectUri: string;
  state: string;
  challenge: string;
}

interface Code {
  /** The login's id, which nothing else holds. */
  id: string;
  /** Its first refresh handle. */
  handle: string;
  challenge: string;
  redirectUri: string;
}

/** A login that awaits its person's word. */
interface Held {
  id: string;
  handle: string;
  request: NativeRequest;
}

type Form = ReadonlyMap<string, string>;

interface Answer {
  status: number;
  body: object;
}

/** RFC 6749 section 5.2. */
class Refusal extends Error {
  readonly error: 'invalid_request' | 'invalid_grant' | 'invalid_client' | 'unsupported_grant_type';

  constructor(error: Refusal['error'], says: string) {
    super(says);
    this.error = error;
  }
}

function required(form: Form, name: string): string {
  const value = form.get(name);
  if (value === undefined) throw new Refusal('invalid_request', `${name} is missing`);
  return value;
}

export interface NativeLogins {
  /** Keeps this login until its person has said whether they asked for it. What is returned is good once. */
  hold(signedIn: SignedIn, request: NativeRequest): Promise<string>;
  /** They did: where the browser goes, with a code. @throws LoginError `login_failed` */
  release(held: string): Promise<string>;
  /** They did not: the login is over, and the command line is told. @throws LoginError `login_failed` */
  refuse(held: string): Promise<string>;
  /** Answers the forms of `/login/cli/token` and `/login/cli/revoke`. */
  respond(endpoint: 'token' | 'revoke', form: Form): Promise<Answer>;
}

/** @throws LoginError `login_failed` */
export function nativeRequest(query: URLSearchParams): NativeRequest {
  const redirectUri = query.get('redirect_uri') ?? '';
  const state = query.get('state') ?? '';
  const challenge = query.get('code_challenge') ?? '';
  const good =
    // RFC 8252 section 7.3: an address of this machine, whatever the port. No `form-action` can name `[::1]`.
    /^http:\/\/127\.0\.0\.1:\d{1,5}\/callback$/.test(redirectUri) &&
    URL.canParse(redirectUri) &&
    query.get('response_type') === 'code' &&
    query.get('code_challenge_method') === 'S256' &&
    /^[\w-]{43}$/.test(challenge) &&
    /^[\w-]{16,200}$/.test(state);
  if (!good) throw new LoginError('login_failed', 'the command line asks for a sign-in in a form that is not known');
  return { redirectUri, state, challenge };
}

/** Where the browser goes when there is no login: the command line is told, and says why. */
export function refusedNative({ redirectUri, state }: NativeRequest, error: unknown): string {
  const known = error instanceof LoginError;
  const code = known && error.code === 'login_refused' ? 'access_denied' : 'server_error';
  const why = known ? error.message : 'the sign-in was not completed';
  return `${redirectUri}?${new URLSearchParams({ error: code, error_description: why, state })}`;
}

/**
 * Sign-in of the command line at another issuer. Its client there is confidential, so the server takes the code, keeps
 * the refresh token, and hands out access tokens: the command line holds an id that is worth nothing elsewhere.
 */
export function createNativeLogins(o: {
  issuer: string;
  store: Store;
  vault: Vault;
  logins: Logins;
  now: () => number;
}): NativeLogins {
  const { store, vault, logins, now } = o;
  const { rows, line, fresh, end } = logins;
  const { builder } = store;
  const random = () => randomBytes(32).toString('base64url');
  // Not the hash that a cookie would be looked up by.
  const hashOfId = (id: string) => hashOf(`cli ${id}`);
  // Nor the hash of a ticket.
  const hashOfCode = (code: string) => hashOf(`code ${code}`);
  const hashOfHeld = (held: string) => hashOf(`held ${held}`);
  const gone = () => new LoginError('login_failed', 'this sign-in was decided before, or has expired');
  const invalid = (says: string) => new Refusal('invalid_grant', says);

  async function redeem(form: Form): Promise<{ login: Login; refreshToken: string }> {
    const code = hashOfCode(required(form, 'code'));
    const kept = await ticketOf<Code>(codePlace, code);
    if (kept === undefined) throw invalid('the code is not known');
    try {
      await store.commit({ statements: [{ query: once(code), expect: 1, conflict: USED }] });
    } catch (error) {
      if (!(error instanceof StoreError && error.conflict === USED)) throw error;
      // RFC 6749 section 4.1.2: whoever was first may have been the thief.
      const login = await rows.find(hashOfId(kept.id));
      if (login !== undefined) await stop(login, 'its code was used twice, or late');
      throw invalid('the code was used before, or is too old');
    }
    const proof = hash('sha256', required(form, 'code_verifier'), 'base64url');
    const login = await fresh(hashOfId(kept.id));
    if (login === undefined || !same(proof, kept.challenge) || form.get('redirect_uri') !== kept.redirectUri) {
      if (login !== undefined) await stop(login, 'its code was not for who used it');
      throw invalid('the code is for another request');
    }
    // It was kept for no longer than the code.
    await rows.replace(login, login.tokens, now() + IDLE);
    return { login, refreshToken: `${kept.id}.${kept.handle}` };
  }

  /** A handle that was used up is in two hands: neither gets anything more. */
  async function refresh(refreshToken: string): Promise<{ login: Login; refreshToken: string }> {
    const [id = '', presented = ''] = refreshToken.split('.', 2);
    for (;;) {
      const login = await fresh(hashOfId(id));
      const { handle } = login?.tokens ?? {};
      if (login === undefined || handle === undefined) throw invalid('the sign-in has ended');
      if (same(presented, handle.previous) && now() - handle.rotatedAt < GRACE)
        return { login, refreshToken: `${id}.${handle.current}` };
      if (!same(presented, handle.current)) {
        await stop(login, 'a refresh token was used again');
        throw invalid('the refresh token was used before: the sign-in has ended');
      }
      const next = { current: random(), previous: handle.current, rotatedAt: now() };
      try {
        await rows.replace(login, { ...login.tokens, handle: next }, login.expiresAt);
        return { login, refreshToken: `${id}.${next.current}` };
      } catch (error) {
        // Another command, or another replica, was first: look again.
        if (!(error instanceof StoreError && error.conflict === REFRESHED_ELSEWHERE)) throw error;
      }
    }
  }

  async function token(form: Form): Promise<Answer> {
    const grant = required(form, 'grant_type');
    if (form.get('client_id') !== 'cli') throw new Refusal('invalid_client', 'the client is not known');
    if (grant !== 'authorization_code' && grant !== 'refresh_token')
      throw new Refusal('unsupported_grant_type', 'the grant is not one of this endpoint');
    const { login, refreshToken } =
      grant === 'refresh_token' ? await refresh(required(form, 'refresh_token')) : await redeem(form);
    const { accessToken, expiresAt } = login.tokens;
    return {
      status: 200,
      body: {
        access_token: accessToken,
        token_type: 'Bearer',
        expires_in: Math.floor((expiresAt - now()) / 1000),
        refresh_token: refreshToken,
      },
    };
  }

  /** The access token is with the command line: it is refused from now on, and what was exchanged for it is dropped. */
  const stop = (login: Login, reason: string) => end(login, reason, withdrawal(login));

  function withdrawal({ issuer, sid, tokens }: Login): Ending {
    const { jti } = tokens.opaque ? {} : decodeJwt<{ jti?: string }>(tokens.accessToken);
    const denied =
      jti === undefined ? [] : [denial(store, { issuer, claim: 'jti', value: jti, until: tokens.expiresAt })];
    return {
      statements: denied.flatMap(({ statements }) => statements),
      changes: [
        ...denied.flatMap(({ changes }) => changes),
        ...(sid === undefined ? [] : [{ kind: 'LoginSession', key: sid, op: 'delete' as const }]),
      ],
    };
  }

  /** RFC 7009 section 2.2: also of a token that nobody knows. */
  async function revoke(form: Form): Promise<Answer> {
    const [id = ''] = required(form, 'token').split('.', 1);
    const login = await rows.find(hashOfId(id));
    if (login !== undefined) await stop(login, 'asked for');
    return { status: 200, body: {} };
  }

  /** What was kept under this hash. Used up it may be. */
  async function ticketOf<T>(place: typeof codePlace, ticket: string): Promise<T | undefined> {
    const select = builder.selectFrom('tickets').selectAll().where('hash', '=', ticket);
    const [row] = await store.read<TicketRow>(select.compile());
    try {
      return row && (JSON.parse(vault.openInline(place, row.payload).reveal()) as T);
    } catch {
      return undefined;
    }
  }

  function insert(place: typeof codePlace, ticket: string, kept: Code | Held, until: number) {
    const payload = vault.sealInline(place, SecretValue.of(JSON.stringify(kept)));
    const row: TicketRow = { hash: ticket, payload, expires_at: until, used_at: null };
    return { query: builder.insertInto('tickets').values(row).compile(), expect: 1 };
  }
  const once = (ticket: string) =>
    builder
      .updateTable('tickets')
      .set({ used_at: now() })
      .where('hash', '=', ticket)
      .where('used_at', 'is', null)
      .where('expires_at', '>', now())
      .compile();

  /** Its row, used up together with what else is to be written. @throws LoginError */
  async function takeHeld(held: string, also: (kept: Held) => CommitUnit['statements']) {
    const ticket = hashOfHeld(held);
    const kept = await ticketOf<Held>(heldPlace, ticket);
    const login = kept && (await rows.find(hashOfId(kept.id)));
    if (kept === undefined || login === undefined) throw gone();
    const use = { query: once(ticket), expect: 1, conflict: USED };
    try {
      await store.commit({ statements: [use, ...also(kept)] });
    } catch (error) {
      throw error instanceof StoreError && error.conflict === USED ? gone() : error;
    }
    return { kept, login };
  }

  return {
    async hold(signedIn, request) {
      const [id, handle, held] = [random(), random(), random()];
      const tokens = { ...signedIn.tokens, handle: { current: handle, rotatedAt: now() } };
      const until = now() + CONFIRM_LIFE;
      const login = { ...newLogin(hashOfId(id), { ...signedIn, tokens }, now()), expiresAt: until };
      await rows.insert(login, '', line(login, 'command line asks'));
      await store.commit({ statements: [insert(heldPlace, hashOfHeld(held), { id, handle, request }, until)] });
      return held;
    },
    async release(held) {
      const code = random();
      const { kept, login } = await takeHeld(held, ({ id, handle, request: { challenge, redirectUri } }) => [
        insert(codePlace, hashOfCode(code), { id, handle, challenge, redirectUri }, now() + CODE_LIFE),
      ]);
      await rows.replace(login, login.tokens, now() + CODE_LIFE, line(login, 'command line session'));
      const { redirectUri, state } = kept.request;
      return `${redirectUri}?${new URLSearchParams({ code, state, iss: o.issuer })}`;
    },
    async refuse(held) {
      const { kept, login } = await takeHeld(held, () => []);
      await end(login, 'its person did not ask for it');
      return refusedNative(
        kept.request,
        new LoginError('login_refused', 'the person said no on the page of the sign-in'),
      );
    },
    async respond(endpoint, form) {
      try {
        return await (endpoint === 'revoke' ? revoke(form) : token(form));
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        const status = error.error === 'invalid_client' ? 401 : 400;
        return { status, body: { error: error.error, error_description: error.message } };
      }
    },
  };
}

/** Of their hashes, so that the time it takes says nothing of a part that fits. */
const same = (presented: string, kept: string | undefined) => kept !== undefined && hashOf(presented) === hashOf(kept);
