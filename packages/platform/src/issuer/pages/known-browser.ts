import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { cookieOf } from '../../limits/index.ts';
import type { Vault } from '../../vault/index.ts';

/** Seconds: half a year. */
const LIFE = 182 * 24 * 3_600;

/**
 * Browsers that somebody has signed in with before: a cookie that opens nothing, and says only that tries of others for
 * the same name are not this one's.
 */
export function knownBrowsers(o: { vault: Vault; cookiePrefix: string; secureCookies: boolean }) {
  const name = `${o.secureCookies ? '__Host-' : ''}${o.cookiePrefix}_known`;
  const key = o.vault.derive('known-browsers');
  const proof = (id: string, subject: string) => createHmac('sha256', key).update(`${id}\n${subject}`).digest();

  return {
    /** The id of the browser, if this person has signed in with it. */
    idOf(cookies: string | undefined, subject: string): string | undefined {
      const [id = '', mac = ''] = (cookieOf(cookies, name) ?? '').split('.', 2);
      const given = Buffer.from(mac, 'base64url');
      const wanted = proof(id, subject);
      return given.length === wanted.length && timingSafeEqual(given, wanted) ? id : undefined;
    },
    /** `Set-Cookie` of one more. */
    remember(subject: string): string {
      const id = randomBytes(16).toString('base64url');
      const value = `${id}.${proof(id, subject).toString('base64url')}`;
      const secure = o.secureCookies ? '; Secure' : '';
      return `${name}=${value}; Path=/; HttpOnly; SameSite=Lax; Max-Age=${LIFE}${secure}`;
    },
  };
}
