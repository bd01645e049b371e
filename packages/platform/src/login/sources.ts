import { type ForeignLoginOptions, foreignLogin } from './foreign-login.ts';
import type { LoginSource } from './source.ts';
import type { LoginIssuer } from './types.ts';

export interface LoginSources {
  /** By the name of its TrustedIssuer, or by the issuer itself; the embedded one where nothing is said. */
  named(name: string | undefined): LoginSource | undefined;
  /** By the `iss` of a login. */
  of(issuer: string): LoginSource | undefined;
  list(): readonly { name: string; issuer: string }[];
}

/** The issuers at which people sign in, as they are at this moment. */
export function loginSources(
  o: Omit<ForeignLoginOptions, 'login'> & {
    own: LoginSource;
    /** Whether the embedded issuer has people of its own. */
    hasPeople(): boolean;
    others: () => readonly LoginIssuer[];
  },
): LoginSources {
  const made = new WeakMap<LoginIssuer, LoginSource>();
  const others = () =>
    o.others().map((login) => {
      const known = made.get(login) ?? foreignLogin({ ...o, login });
      made.set(login, known);
      return known;
    });
  const all = () => [o.own, ...others()];
  return {
    named: (name = o.own.name) => all().find((source) => source.name === name || source.issuer === name),
    of: (issuer) => all().find((source) => source.issuer === issuer),
    list: () => {
      const foreign = others();
      const shown = o.hasPeople() || foreign.length === 0 ? [o.own, ...foreign] : foreign;
      return shown.map(({ name, issuer }) => ({ name, issuer }));
    },
  };
}
