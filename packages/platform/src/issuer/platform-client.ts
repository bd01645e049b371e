import { randomUUID } from 'node:crypto';
import type { AgentIdentity } from '@onbehalf/resources';
import { SecretValue } from '@onbehalf/secret-value';
import type { AgentRef } from '@onbehalf/token-exchange';
import { exportJWK, generateKeyPair, type JWK } from 'jose';
import { type Store, StoreError } from '../store/index.ts';
import type { Vault } from '../vault/index.ts';
import { doorAudiences } from './doors.ts';
import { signer } from './jws.ts';
import { ALG, publicOf, type SigningKeys } from './keys.ts';
import { AGENT_TOKEN_LIFE, agentSubject } from './token-service/agents.ts';
import type { TokenClient } from './token-service/client-auth.ts';
import { JWT } from './token-service/subject.ts';
import type { PlatformClient } from './types.ts';

const PLATFORM = 'platform';
const where = { kind: 'Identity', uid: 'client-platform', field: 'key' } as const;

/** The built-in client `platform`, and what it signs: its own assertions, and who acts. */
export async function openPlatform(o: {
  issuer: string;
  store: Store;
  vault: Vault;
  keys: SigningKeys;
  fetch: typeof globalThis.fetch;
  now: () => number;
}): Promise<{ client: TokenClient; platform: PlatformClient }> {
  const { issuer, keys, now } = o;
  const jwk = await ownKey(o.store, o.vault);
  const kid = String(jwk.kid);
  const sign = signer(jwk, kid);

  const times = () => {
    const iat = Math.floor(now() / 1000);
    return { iat, exp: iat + AGENT_TOKEN_LIFE, jti: randomUUID() };
  };
  const named = (agent: AgentIdentity, audience: string) => ({
    ...{ iss: issuer, sub: agentSubject(agent), agent_uid: agent.uid, aud: audience },
    ...times(),
  });

  return {
    client: {
      id: PLATFORM,
      grants: ['exchange', 'workload', 'introspect'],
      agents: 'all',
      jwks: { keys: [publicOf(jwk)] } as NonNullable<TokenClient['jwks']>,
    },
    platform: {
      publicUrl: issuer,
      fetch: o.fetch,
      doorAudiences: Object.values(doorAudiences(issuer)),
      client: {
        auth: 'PrivateKeyJwt',
        id: PLATFORM,
        keyId: kid,
        async sign(audience) {
          return sign('client-authentication+jwt', { iss: PLATFORM, sub: PLATFORM, aud: audience, ...times() });
        },
      },
      workload: {
        assertion: (agent, audience) => keys.sign('assertion+jwt', named(agentName(agent), audience)),
      },
      actorFor: (agent) => ({
        identity: { iss: issuer, sub: agentSubject(agent), agentUid: agent.uid },
        tokenType: JWT,
        async current(audience) {
          return { token: await keys.sign('actor+jwt', named(agent, audience)), tokenType: JWT };
        },
      }),
    },
  };
}

function agentName({ uid, name: full }: AgentRef): AgentIdentity {
  const [namespace = '', name = ''] = full.split('/');
  return { uid, namespace, name };
}

async function ownKey(store: Store, vault: Vault): Promise<JWK> {
  const known = await vault.unseal(where);
  if (known !== undefined) return JSON.parse(known.value.reveal()) as JWK;
  const { privateKey } = await generateKeyPair(ALG, { extractable: true });
  const jwk = { ...(await exportJWK(privateKey)), kid: randomUUID(), alg: ALG };
  try {
    await store.commit({ statements: await vault.seal(where, SecretValue.of(JSON.stringify(jwk))) });
  } catch (error) {
    // Another replica made it in the same moment: its key is the key.
    if (!(error instanceof StoreError && error.conflict !== undefined)) throw error;
  }
  return ownKey(store, vault);
}
