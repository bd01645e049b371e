import type { Principal } from '@onbehalf/access';
import type { Audit } from '../audit/index.ts';
import { type AuditBody, type Store, StoreError } from '../store/index.ts';
import type { Vault } from '../vault/index.ts';
import { type Ending, type Login, type LoginTokens, loginRows, REFRESHED_ELSEWHERE } from './session-rows.ts';
import type { Renewed, SignedIn } from './source.ts';
import type { LoginSources } from './sources.ts';

/** A login that is not used for this long is over. */
export const IDLE = 7 * 24 * 3_600_000;

/** An answer that could not be judged is looked at again no sooner. */
const JUDGE_AGAIN = 5_000;

export interface Logins {
  rows: ReturnType<typeof loginRows>;
  line(login: Pick<Login, 'issuer' | 'subject' | 'sid'>, outcome: string, reason?: string): AuditBody;
  /** The login with a token that is good for a while; undefined when it is over. */
  fresh(idHash: string): Promise<Login | undefined>;
  /** The same, and whom its token names by the issuer's configuration of now. @throws AccessError */
  verified(idHash: string): Promise<{ login: Login; principal: Principal } | undefined>;
  /** Here first, with what else belongs to the unit, then at its issuer. */
  end(login: Login, reason: string, also?: Ending): Promise<void>;
}

export const newLogin = (idHash: string, { who, sid, tokens }: SignedIn, now: number): Omit<Login, 'fence'> => ({
  ...{ idHash, sid, issuer: who.issuer, subject: who.subject, tokens },
  expiresAt: now + IDLE,
});

/** What people are signed in with, of the console and of the command line: kept, renewed in time, ended. */
export function createLogins(o: {
  store: Store;
  vault: Vault;
  audit: Audit;
  sources: LoginSources;
  now: () => number;
}): Logins {
  const { sources, audit, now } = o;
  const rows = loginRows(o);
  const renewing = new Map<string, Promise<Login | undefined>>();
  const line = (
    { issuer: iss, subject, sid }: Pick<Login, 'issuer' | 'subject' | 'sid'>,
    outcome: string,
    reason?: string,
  ) =>
    audit.line({
      type: 'login',
      phase: 'single',
      principal: { issuer: iss, subject, ...(sid !== undefined && { sid }) },
      outcome,
      ...(reason !== undefined && { reason }),
    });

  async function end(login: Login, reason: string, also?: Ending): Promise<void> {
    await rows.remove(login, line(login, 'signed out', reason), also);
    const { issuer, sid } = login;
    // One login at the issuer may carry several of ours, of a browser and of the command line: it ends with the last.
    const others = sid === undefined ? [] : await rows.ids({ issuer, sid });
    if (others.length === 0) await sources.of(issuer)?.end(login.tokens);
  }

  /** One request for each login, however many ask at once. The new refresh token is stored before anything uses it. */
  function renewed(login: Login): Promise<Login | undefined> {
    const known = renewing.get(login.idHash);
    if (known !== undefined) return known;
    const work = renew(login.idHash).finally(() => renewing.delete(login.idHash));
    renewing.set(login.idHash, work);
    return work;
  }

  async function renew(idHash: string): Promise<Login | undefined> {
    // Read again under the lock: whoever was here before may have renewed it.
    const login = await rows.find(idHash);
    if (login === undefined || login.tokens.renewAt > now()) return login;
    const answer = (await sources.of(login.issuer)?.renew(login.tokens)) ?? { failed: 'unavailable' };
    if ('failed' in answer) return notRenewed(login, answer);
    const { issuer, subject } = answer.who;
    if (issuer !== login.issuer || subject !== login.subject) {
      await end({ ...login, tokens: answer.tokens }, 'another subject in the refreshed token');
      return undefined;
    }
    return kept(login, answer.tokens, now() + IDLE);
  }

  async function notRenewed(login: Login, answer: Extract<Renewed, { failed: string }>): Promise<Login | undefined> {
    const { tokens } = login;
    if (answer.failed === 'unavailable') {
      const { unjudged, refreshToken = tokens.refreshToken } = answer;
      if (unjudged === undefined) return login;
      const next = { ...tokens, unjudged, renewAt: now() + JUDGE_AGAIN };
      return kept(login, refreshToken === undefined ? next : { ...next, refreshToken }, login.expiresAt);
    }
    // One that was never to be renewed is used to its end.
    if (tokens.refreshToken === undefined && tokens.expiresAt > now()) return login;
    if (answer.failed === 'two_people') {
      const { refreshToken = tokens.refreshToken } = answer;
      await end({ ...login, tokens: { ...tokens, ...(refreshToken && { refreshToken }) } }, 'two people in one answer');
      return undefined;
    }
    // The refresh token may be spent because another replica was first.
    const current = await rows.find(login.idHash);
    if (current?.fence !== login.fence) return current;
    // Here alone: the issuer said so itself, and what else its person has there is theirs.
    await rows.remove(login, line(login, 'signed out', 'refused by the issuer'));
    return undefined;
  }

  async function kept(login: Login, next: LoginTokens, expiresAt: number): Promise<Login | undefined> {
    const { handle } = login.tokens;
    const tokens = handle === undefined ? next : { ...next, handle };
    try {
      await rows.replace(login, tokens, expiresAt);
    } catch (error) {
      if (error instanceof StoreError && error.conflict === REFRESHED_ELSEWHERE) return rows.find(login.idHash);
      throw error;
    }
    return { ...login, tokens, expiresAt, fence: login.fence + 1 };
  }

  async function fresh(idHash: string): Promise<Login | undefined> {
    const found = await rows.find(idHash);
    const login = found !== undefined && found.tokens.renewAt <= now() ? await renewed(found) : found;
    // Where nobody signs in any more, nobody is signed in.
    if (login === undefined || login.tokens.expiresAt <= now() || sources.of(login.issuer) === undefined)
      return undefined;
    return login;
  }

  async function verified(idHash: string): Promise<{ login: Login; principal: Principal } | undefined> {
    const login = await fresh(idHash);
    if (login === undefined) return undefined;
    const principal = await sources.of(login.issuer)?.verify(login.tokens);
    if (principal?.issuer !== login.issuer || principal.subject !== login.subject) return undefined;
    return { login, principal };
  }

  return { rows, line, fresh, verified, end };
}
