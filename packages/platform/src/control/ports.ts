import type { Principal } from '@onbehalf/access';
import type { Audit } from '../audit/index.ts';
import type { Policy } from '../policy/index.ts';
import type { Registry, Store } from '../store/index.ts';
import type { Vault } from '../vault/index.ts';

/** Whoever writes. */
export interface Writer {
  principal: Principal;
  address: string;
}

/** What this installation itself is: never a tool server, never a target. */
export interface Embedded {
  /** `publicUrl`, and the name of the embedded issuer. */
  issuer: string;
  doorAudiences: readonly string[];
}

export type Deciding = {
  policy: Pick<Policy, 'decide' | 'principalOf' | 'table' | 'writerMayUse'>;
  registry: Registry;
};

/** Who is known at this server. */
export interface KnownPeople {
  knows(issuer: string, subject: string): boolean;
  onChange(listener: () => void): () => void;
}

export interface ControlPorts extends Deciding {
  people: KnownPeople;
  now: () => number;
  store: Store;
  audit: Audit;
  vault: Pick<Vault, 'seal' | 'remove' | 'describe'>;
  embedded: Embedded;
  onError: (error: unknown) => void;
  /** Why this TrustedIssuer is not trusted, if it is not. */
  issuerProblem?: (uid: string) => { reason: string; message: string } | undefined;
  /** What the tokens of a trusted issuer held that could not be used. */
  issuerNotice?: (uid: string) => string | undefined;
}
