import { randomUUID } from 'node:crypto';
import type { JsonWebKeySet } from '@onbehalf/access';
import { SecretValue } from '@onbehalf/secret-value';
import {
  type CryptoKey,
  exportJWK,
  generateKeyPair,
  importJWK,
  type JWK,
  type JWTPayload,
  jwtVerify,
  SignJWT,
} from 'jose';
import type { Audit } from '../audit/index.ts';
import type { PrincipalName } from '../people/index.ts';
import { type Store, StoreError } from '../store/index.ts';
import type { Vault } from '../vault/index.ts';

/** JWS algorithm of everything that is signed here: every library has it. */
export const ALG = 'ES256';

/** A new key is published this long before it signs, so that whoever keeps our JWKS has asked again by then. */
const LEAD = 60_000;

/** No token lives longer than 10 minutes; clocks may differ. */
const OVERLAP = 15 * 60_000;
/** How soon keys that could not be read are read again, in ms. */
const RELOAD = 1_000;

/** Milliseconds between rotations. */
export const KEY_LIFE = 30 * 24 * 3_600_000;

interface StoredKey {
  jwk: JWK;
  /** Milliseconds since the epoch; it signs from then on, until the next one does. */
  activeAt: number;
}

interface LoadedKey extends StoredKey {
  kid: string;
  sign: CryptoKey;
  verify: CryptoKey;
}

export interface SigningKeys {
  /** The published set: a new object means new keys. */
  jwks(): JsonWebKeySet;
  /** Private keys, the one that signs first. */
  privateJwks(): { keys: JWK[]; id: string };
  sign(typ: string, payload: JWTPayload): Promise<SecretValue>;
  /** Rejects as jose does. */
  verify(token: SecretValue, typ: string): Promise<JWTPayload>;
  rotate(by: PrincipalName): Promise<void>;
  /** When the youngest key began or begins to sign, in milliseconds since the epoch. */
  youngest(): number;
  close(): void;
}

const where = { kind: 'Identity', uid: 'issuer', field: 'signing-keys' } as const;

/** The issuer's keys: made at first start, sealed in the vault, shared by replicas through the change log. */
export async function openSigningKeys(o: {
  issuer: string;
  store: Store;
  vault: Vault;
  audit: Audit;
  now: () => number;
}): Promise<SigningKeys> {
  const { issuer, store, vault, audit, now } = o;
  let keys: readonly LoadedKey[] = [];
  let published: { ids: string; set: JsonWebKeySet } | undefined;

  const save = async (next: readonly StoredKey[], by: PrincipalName, kids: readonly string[]) => {
    const statements = await vault.seal(where, SecretValue.of(JSON.stringify(next)));
    const entry = { type: 'change', phase: 'single', principal: by, outcome: 'signing keys', data: { kids } } as const;
    await store.commit({
      statements,
      changes: [{ kind: 'IssuerKeys', key: 'signing', op: 'put' }],
      audit: [audit.line(entry)],
    });
  };
  const load = async () => {
    const sealed = await vault.unseal(where);
    if (sealed === undefined) return false;
    const stored = JSON.parse(sealed.value.reveal()) as StoredKey[];
    keys = await Promise.all(stored.map(loadKey));
    return true;
  };
  /** Oldest first, without those whose last token has ended. */
  const current = () => {
    const at = now();
    return keys.filter((_, i) => (keys[i + 1]?.activeAt ?? Number.POSITIVE_INFINITY) + OVERLAP > at);
  };
  const signing = () => {
    const key = current().findLast(({ activeAt }) => activeAt <= now()) ?? current()[0];
    if (key === undefined) throw new TypeError('the issuer has no signing key');
    return key;
  };

  if (!(await load())) {
    const first = await newKey(now());
    try {
      await save([first], { issuer: 'local', subject: 'platform' }, [String(first.jwk.kid)]);
    } catch (error) {
      // Another replica made it in the same moment: its key is the key.
      if (!(error instanceof StoreError && error.conflict !== undefined)) throw error;
    }
    await load();
  }
  let closed = false;
  // Tried until it can be read: a key that is unknown here would make good tokens bad.
  const follow = () => {
    if (!closed) load().catch(() => setTimeout(follow, RELOAD).unref());
  };
  const watch = store.watch(store.revision(), (changes) => {
    if (changes.some(({ kind }) => kind === 'IssuerKeys')) follow();
  });

  return {
    jwks() {
      const set = current();
      const ids = set.map(({ kid }) => kid).join();
      if (published?.ids !== ids) published = { ids, set: { keys: set.map(({ jwk }) => publicOf(jwk)) } };
      return published.set;
    },
    privateJwks() {
      const first = signing();
      const all = [first, ...current().filter((key) => key !== first)];
      return { keys: all.map(({ jwk }) => jwk), id: all.map(({ kid }) => kid).join() };
    },
    async sign(typ, payload) {
      const { kid, sign } = signing();
      return SecretValue.of(await new SignJWT(payload).setProtectedHeader({ alg: ALG, kid, typ }).sign(sign));
    },
    async verify(token, typ) {
      const { payload } = await jwtVerify(
        token.reveal(),
        ({ kid }) => {
          const key = current().find((known) => known.kid === kid);
          if (key === undefined) throw new TypeError('no such key');
          return key.verify;
        },
        { algorithms: [ALG], typ, issuer, currentDate: new Date(now()), requiredClaims: ['exp', 'iat', 'sub', 'aud'] },
      );
      return payload;
    },
    async rotate(by) {
      const next = await newKey(now() + LEAD);
      const kept = current().map(({ jwk, activeAt }) => ({ jwk, activeAt }));
      await save(
        [...kept, next],
        by,
        [...kept, next].map(({ jwk }) => String(jwk.kid)),
      );
      await load();
    },
    youngest: () => keys.at(-1)?.activeAt ?? 0,
    close() {
      closed = true;
      watch.close();
    },
  };
}

async function newKey(activeAt: number): Promise<StoredKey> {
  const { privateKey } = await generateKeyPair(ALG, { extractable: true });
  return { jwk: { ...(await exportJWK(privateKey)), kid: randomUUID(), alg: ALG, use: 'sig' }, activeAt };
}

async function loadKey(stored: StoredKey): Promise<LoadedKey> {
  return {
    ...stored,
    kid: String(stored.jwk.kid),
    sign: (await importJWK(stored.jwk, ALG)) as CryptoKey,
    verify: (await importJWK(publicOf(stored.jwk), ALG)) as CryptoKey,
  };
}

export function publicOf(jwk: JWK): JWK {
  const { kty = '', crv = '', x = '', y = '', kid = '', alg = '' } = jwk;
  return { kty, crv, x, y, kid, alg, use: 'sig' };
}
