import { createVerifier, type IssuerConfig } from '@onbehalf/access';
import { TokenExchangeError } from '@onbehalf/token-exchange';
import type { Audit } from '../../src/audit/index.ts';
import { loadConfig } from '../../src/config.ts';
import type { Egress } from '../../src/egress/index.ts';
import { createIssuer, type Issuer, type TargetQuestion } from '../../src/issuer/index.ts';
import { createLimits, type LimitSettings } from '../../src/limits/index.ts';
import { createLogin, type Login, type LoginIssuer } from '../../src/login/index.ts';
import { cookiePrefixOf, createTickets, createUsers, followPrincipals } from '../../src/people/index.ts';
import type { Registry, Store } from '../../src/store/index.ts';
import type { Vault } from '../../src/vault/index.ts';

/** People, the embedded issuer and sign-in, put together as the server does, without doors and policy. */
export async function createIdentity(o: {
  publicUrl: string;
  installation: string;
  store: Store;
  vault: Vault;
  audit: Audit;
  registry: Registry;
  egress: Egress;
  now: () => number;
  trustedIssuers?: () => readonly IssuerConfig[];
  loginIssuers?: () => readonly LoginIssuer[];
  limits?: Partial<LimitSettings>;
  trustedProxies?: readonly string[];
  authorizeTarget(question: TargetQuestion): boolean;
  onError?: (error: unknown) => void;
}) {
  const { publicUrl, store, now, loginIssuers = () => [] } = o;
  const trustedIssuers = () => (o.trustedIssuers?.() ?? []).filter((config) => config.issuer !== publicUrl);
  const cookiePrefix = cookiePrefixOf(o.installation);
  const principals = await followPrincipals(store);
  const limits = createLimits({
    settings: { ...loadConfig({ env: {} }).limits, ...o.limits },
    trustedProxies: o.trustedProxies ?? [],
    elapsed: now,
  });
  const users = createUsers({ ...o, issuer: publicUrl, principals });
  const issuer: Issuer = await createIssuer({
    ...{ ...o, principals, cookiePrefix, trustedIssuers, limits },
    endpoint: (path) => login.endpoint(path),
  });
  const verifier = createVerifier({
    issuers: () => [issuer.config(), ...trustedIssuers()],
    fetch: o.egress.fetch as typeof globalThis.fetch,
    principals,
    now,
  });
  const login: Login = createLogin({
    ...{ ...o, embedded: issuer, verifier, cookiePrefix, principals, trustedIssuers, loginIssuers },
    over: (why) => new TokenExchangeError('user_token_required', why),
  });
  return {
    ...{ ...issuer, limits, principals, users, verifier, ownVerifier: issuer.verifier, sessions: login.sessions },
    issuerConfig: issuer.config,
    tickets: createTickets({ store, principals, session: login.sessions.byHash, now }),
    subjectOfBearer: login.subjectOfBearer,
    subjectOfLegacy: login.subjectOfLegacy,
    noteSeen: users.noteSeen,
    async close() {
      await issuer.close();
      verifier.close();
      principals.close();
    },
  };
}

export type Identity = Awaited<ReturnType<typeof createIdentity>>;
