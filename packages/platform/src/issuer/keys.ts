import { randomUUID } from 'node:crypto';
import type { JsonWebKeySet } from '@onbehalf/access';
import { SecretValue } from '@onbehalf/secret-value';
import { exportJWK, generateKeyPair, type JSONWebKeySet, type JWK, type JWTPayload } from 'jose';
import type { Audit } from '../audit/index.ts';
import type { PrincipalName } from '../people/index.ts';
import { type Store, StoreError } from '../store/index.ts';
import type { Vault } from '../vault/index.ts';
import { openJws, type PublicKey, publicKeysOf, signer } from './jws.ts';

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
  sign: ReturnType<typeof signer>;
  verify: PublicKey;
}

export interface SigningKeys {
  /** The published set: a new object means new keys. */
  jwks(): JsonWebKeySet;
  /** Private keys, the one that signs first. */
  privateJwks(): { keys: JWK[]; id: string };
  sign(typ: string, payload: JWTPayload): Promise<SecretValue>;
  /** Signature, issuer, `typ` and times. Rejects where one is not right. */
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
    keys = stored.map(loadKey);
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
    sign: async (typ, payload) => signing().sign(typ, payload),
    async verify(token, typ) {
      const signed = openJws(
        token.reveal(),
        current().map(({ verify }) => verify),
        [ALG],
      );
      const { payload } = signed;
      const at = Math.floor(now() / 1000);
      const { iss, sub, aud, exp, iat, nbf } = payload;
      const good =
        // RFC 8725 section 3.11.
        signed.typ?.toLowerCase().replace(/^application\//, '') === typ &&
        iss === issuer &&
        typeof sub === 'string' &&
        aud !== undefined &&
        typeof iat === 'number' &&
        typeof exp === 'number' &&
        exp > at &&
        (nbf === undefined || (typeof nbf === 'number' && nbf <= at));
      if (!good) throw new TypeError('the claims are not those of a token of ours');
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

function loadKey(stored: StoredKey): LoadedKey {
  const kid = String(stored.jwk.kid);
  const [verify] = publicKeysOf({ keys: [publicOf(stored.jwk)] } as JSONWebKeySet);
  if (verify === undefined) throw new TypeError('a signing key cannot be read');
  return { ...stored, kid, sign: signer(stored.jwk, kid), verify };
}

export function publicOf(jwk: JWK): JWK {
  const { kty = '', crv = '', x = '', y = '', kid = '', alg = '' } = jwk;
  return { kty, crv, x, y, kid, alg, use: 'sig' };
}
