import { hash as digest } from 'node:crypto';
import type { SecretValue } from '@onbehalf/secret-value';
import { compactVerify } from 'jose';
import { CLAIM_CHECKS, HEADER_CHECKS, ISSUER_CHECKS, pass } from './checks.ts';
import { AccessError } from './errors.ts';
import { admit, type Identity, identityOf } from './identity.ts';
import { indexIssuers, issuerProblems } from './issuers.ts';
import type { Fetch } from './jwks.ts';
import { MAX_TOKEN_LENGTH, type ParsedToken, parseToken } from './jws.ts';
import { KeyRing } from './key-ring.ts';
import { type KeySet, selectKey } from './keys.ts';
import { readLegacy, signerOf } from './legacy.ts';
import { ID_TOKEN_CLAIMS, idToken, LOGOUT_TOKEN, type LogoutToken, logoutOf, type TokenKind } from './login-tokens.ts';
import type { Door, IssuerConfig, Principal, PrincipalLookup } from './types.ts';

export interface VerifierOptions {
  /** Asked on every verification. A configuration that changed must be a new object, one that did not the same. */
  issuers: () => readonly IssuerConfig[];
  fetch?: Fetch;
  /** Milliseconds since the epoch. */
  now?: () => number;
  principals: PrincipalLookup;
  /** Verified tokens to remember. Default 10,000. */
  cacheSize?: number;
}

export interface Verifier {
  /** @throws {AccessError} */
  verify(token: SecretValue, door: Door, from?: TokenOrigin): Promise<Principal>;
  /**
   * Who signed in, by the ID token of our own sign-in at that issuer (OpenID Connect Core 1.0 section 3.1.3.7). Opens
   * no door. @throws {AccessError}
   */
  verifyIdToken(token: SecretValue, expected: IdTokenExpectation): Promise<Principal>;
  /**
   * Who that was, by the configuration and the principals of now, for as long as the sign-in lasts: the signature and
   * the times were looked at by `verifyIdToken`, and are not here. @throws {AccessError}
   */
  recallIdToken(token: SecretValue, issuer: string): Promise<Principal>;
  /** What an issuer's logout token ends. Its `jti` counts once, which the caller sees to. @throws {AccessError} */
  verifyLogoutToken(token: SecretValue, issuer: string): Promise<LogoutToken>;
  /** Fetches keys now: of one issuer by its configuration's name, or of all. */
  reload(issuerName?: string): Promise<void>;
  close(): void;
}

export interface TokenOrigin {
  /**
   * The token is the issuer's own answer to us: keys are fetched for it at once, whatever strangers' tokens have caused
   * before. Never for a token that somebody presents.
   */
  fromIssuer?: boolean;
}

export interface IdTokenExpectation extends TokenOrigin {
  issuer: string;
  /** Of the authorization request; a refreshed ID token need have none. */
  nonce?: string;
}

interface Signed {
  payload: ParsedToken['payload'];
  issuer: IssuerConfig;
}

interface Remembered {
  identity: Identity;
  issuer: IssuerConfig;
  keys: string;
  /** Milliseconds since the epoch. */
  expiresAt: number;
}

export function createVerifier(o: VerifierOptions): Verifier {
  const now = o.now ?? Date.now;
  const size = o.cacheSize ?? 10_000;
  const ring = new KeyRing(o.fetch ?? ((url, init) => globalThis.fetch(url, init)), now);
  const remembered = new Map<string, Remembered>();
  let known: readonly IssuerConfig[] = [];
  let index = indexIssuers(known);

  function currentIssuers(): readonly IssuerConfig[] {
    const issuers = o.issuers();
    // By element, so that a list changed in place is noticed too: a withdrawn issuer must not live on in a cache.
    if (issuers.length !== known.length || issuers.some((issuer, i) => issuer !== known[i])) {
      const before = known;
      known = [...issuers];
      index = indexIssuers(issuers);
      ring.follow(issuers, before);
    }
    return issuers;
  }

  function recall(key: string): Remembered | undefined {
    const hit = remembered.get(key);
    if (hit === undefined) return undefined;
    remembered.delete(key);
    const fresh = now() < hit.expiresAt && known.includes(hit.issuer) && ring.peek(hit.issuer)?.id === hit.keys;
    if (!fresh) return undefined;
    // Set again, so that the map's order is the order of use.
    remembered.set(key, hit);
    return hit;
  }

  function remember(key: string, entry: Remembered): void {
    if (now() >= entry.expiresAt) return;
    remembered.set(key, entry);
    if (remembered.size > size) remembered.delete(remembered.keys().next().value ?? key);
  }

  async function verify(secret: SecretValue, door: Door, from?: TokenOrigin): Promise<Principal> {
    const compact = secret.reveal();
    if (compact.length > MAX_TOKEN_LENGTH) throw new AccessError('token_malformed', 'longer than 16 KiB');
    const issuers = currentIssuers();
    const hash = digest('sha256', compact, 'base64url');
    const key = `${door} ${hash}`;
    const hit = recall(key);
    if (hit !== undefined) return admit(hit.identity, hit.issuer, o.principals);

    const token = parseToken(compact);
    const facts = { ...token, door, now: now() / 1000 };
    pass(HEADER_CHECKS, { ...facts, issuer: NOBODY });
    const { alg } = token.header;
    if (alg === 'HS256' && !('iss' in token.payload)) {
      // These tokens name no audience, so they open the one door that their front ends use.
      if (door !== 'api') throw new AccessError('audience_mismatch', 'the token is for another audience');
      const issuer = await signerOf(compact, issuers);
      const { legacyHs256: legacy } = issuer;
      if (legacy === undefined) throw new AccessError('algorithm_refused', 'the algorithm is not one of the issuer');
      const identity = readLegacy({ ...facts, issuer }, legacy, hash);
      return admit(identity, { ...issuer, maxRole: legacy.maxRole ?? 'REGULAR' }, o.principals);
    }
    const issuer = issuerOf(token, index);
    if (issuerProblems(issuer).length > 0) throw new AccessError('issuer_misconfigured', 'the issuer cannot be used');
    pass(ISSUER_CHECKS, { ...facts, issuer });
    const keys = await verifySignature(token, issuer, ring, from);
    pass(CLAIM_CHECKS, { ...facts, issuer });
    const identity = identityOf(token.payload, issuer, hash);
    remember(key, { identity, issuer, keys, expiresAt: Number(token.payload.exp) * 1000 });
    return admit(identity, issuer, o.principals);
  }

  /** A token that its issuer, and no other, may have signed. */
  function claimed(secret: SecretValue, named: string): Signed & ParsedToken {
    const issuers = currentIssuers();
    const token = parseToken(secret.reveal());
    pass(HEADER_CHECKS, { ...token, door: 'api', now: now() / 1000, issuer: NOBODY });
    const issuer = issuerOf(token, index);
    if (issuer !== issuers.find(({ issuer: known }) => known === named))
      throw new AccessError('issuer_unknown', 'the token is of another issuer');
    if (issuerProblems(issuer).length > 0) throw new AccessError('issuer_misconfigured', 'the issuer cannot be used');
    return { ...token, issuer };
  }

  /** A token of one issuer that is never remembered: each of its kind is shown once. */
  async function signed(secret: SecretValue, named: string, kind: TokenKind, from?: TokenOrigin): Promise<Signed> {
    const token = claimed(secret, named);
    const facts = { ...token, door: 'api' as const, now: now() / 1000 };
    pass(kind.before, facts);
    await verifySignature(token, token.issuer, ring, from);
    pass(kind.after, facts);
    return token;
  }

  const holderOf = ({ payload, issuer }: Signed, secret: SecretValue): Principal =>
    admit(identityOf(payload, issuer, digest('sha256', secret.reveal(), 'base64url')), issuer, o.principals);

  currentIssuers();
  return {
    verify,
    async verifyIdToken(secret, { issuer: named, nonce, fromIssuer }) {
      return holderOf(await signed(secret, named, idToken(nonce), { ...(fromIssuer && { fromIssuer }) }), secret);
    },
    async recallIdToken(secret, named) {
      const token = claimed(secret, named);
      pass(ID_TOKEN_CLAIMS, { ...token, door: 'api', now: now() / 1000 });
      return holderOf(token, secret);
    },
    async verifyLogoutToken(secret, named) {
      const { payload, issuer } = await signed(secret, named, LOGOUT_TOKEN);
      return logoutOf(payload, issuer);
    },
    reload: async (name) => {
      await ring.reload(currentIssuers().filter((issuer) => name === undefined || issuer.name === name));
    },
    close: () => {
      ring.close();
      remembered.clear();
    },
  };
}

/** Stands in for the issuer while only the header is looked at. */
const NOBODY: IssuerConfig = {
  name: '',
  issuer: '',
  keys: { kind: 'static', jwks: { keys: [] } },
  algorithms: [],
  audiences: {},
  subjectClaims: [],
  maxRole: 'INACTIVE',
};

/** RFC 8725 section 3.8: the issuer as it stands, without normalisation. */
function issuerOf(token: ParsedToken, index: ReadonlyMap<string, IssuerConfig | undefined>): IssuerConfig {
  const { iss } = token.payload;
  if (typeof iss !== 'string' || !index.has(iss)) throw new AccessError('issuer_unknown', 'the issuer is not trusted');
  const issuer = index.get(iss);
  if (issuer === undefined) throw new AccessError('issuer_misconfigured', 'the issuer is configured twice');
  return issuer;
}

/** The signature over what was received (RFC 7515 section 5.2). Returns the id of the key set that vouched for it. */
async function verifySignature(
  token: ParsedToken,
  issuer: IssuerConfig,
  ring: KeyRing,
  from?: TokenOrigin,
): Promise<string> {
  const { kid, alg } = token.header;
  const keyId = typeof kid === 'string' ? kid : undefined;
  const algorithm = String(alg);
  const suffices = (keys: KeySet) => selectKey(keys, keyId, algorithm) !== undefined;
  const set = await ring.keysFor(issuer, suffices, from?.fromIssuer);
  if (set === undefined) throw new AccessError('keys_unavailable', 'the keys of the issuer cannot be had');
  const key = selectKey(set, keyId, algorithm);
  if (key === undefined) throw new AccessError('key_unknown', 'no key of the issuer fits the token');
  try {
    await compactVerify(token.compact, key.key, { algorithms: [algorithm] });
  } catch {
    throw new AccessError('signature_invalid', 'the signature does not match');
  }
  return set.id;
}
