import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { SecretValue } from '@onbehalf/secret-value';
import { localPath } from '../../limits/index.ts';
import { hashOf, type PrincipalName } from '../../people/index.ts';
import { type LoginLinkRow, StoreError } from '../../store/index.ts';
import { IssuerError } from '../error.ts';
import type { LoginLink } from '../types.ts';
import { PageError, readJson, requireSameOrigin, sendJson, stringOf } from './browser.ts';
import type { SignInOptions } from './sign-in.ts';

const LIFE = 10 * 60_000;
/** Seconds of the browser's session at the issuer. */
const SESSION_LIFE = 12 * 3_600;

/**
 * Links that sign one person in, once. They are made by the administration alone. The token is in the fragment: neither
 * a server's log nor a preview sees it, and only a POST uses it up.
 */
export function createLoginLinks(o: SignInOptions) {
  const { issuer, store, audit, principals, now } = o;
  const { builder } = store;
  const gone = () => new PageError(404, 'link_invalid', 'This link was used already, or has expired. Ask for another.');

  async function create(subject: string, by: PrincipalName): Promise<LoginLink> {
    const record = principals.lookup(issuer, subject);
    if (record === undefined || record.disabled)
      throw new IssuerError('user_not_found', `there is no user ${subject} who may sign in`);
    const token = randomBytes(32).toString('base64url');
    const expiresAt = now() + LIFE;
    const row = { hash: hashOf(token), sub: subject, expires_at: expiresAt, used_at: null };
    await store.commit({
      statements: [{ query: builder.insertInto('login_links').values(row).compile(), expect: 1 }],
      audit: [
        audit.line({
          type: 'change',
          phase: 'single',
          principal: by,
          target: { kind: 'Principal', person: { issuer, subject } },
          outcome: 'login link created',
        }),
      ],
    });
    const url = SecretValue.of(`${issuer}/login/link#${token}`);
    return { token: SecretValue.of(token), url, expiresAt };
  }

  /** @throws PageError */
  async function find(token: string | undefined) {
    const query = builder
      .selectFrom('login_links')
      .selectAll()
      .where('hash', '=', hashOf(token ?? ''));
    const [row] = await store.read<LoginLinkRow>(query.compile());
    const record = row && principals.lookup(issuer, row.sub);
    const usable = row !== undefined && row.used_at === null && Number(row.expires_at) > now();
    if (!usable || record === undefined || record.disabled) throw gone();
    return { subject: row.sub, hash: row.hash, name: record.name };
  }

  /** Names the account, so that nobody is signed in as somebody else without seeing it. Uses nothing up. */
  async function describe(request: IncomingMessage, response: ServerResponse): Promise<void> {
    requireSameOrigin(request, issuer, 'unused');
    const { subject, name } = await find(stringOf(await readJson(request), 'token'));
    sendJson(response, 200, { subject, ...(name !== undefined && { name }) });
  }

  /** Sets oidc-provider's session cookie and nothing else. */
  async function use(request: IncomingMessage, response: ServerResponse): Promise<void> {
    requireSameOrigin(request, issuer, 'unused');
    const body = await readJson(request);
    const { subject, hash } = await find(stringOf(body, 'token'));
    await consume(subject, hash, o.limits.address(request));
    const provider = o.provider();
    const context = provider.createContext(request, response);
    const name = provider.cookieName('session');
    // A session that was there before is over: whoever planted its id learns nothing.
    const before = context.cookies.get(name, { signed: true });
    if (before !== undefined) await (await provider.Session.find(before))?.destroy();
    const session = new provider.Session();
    session.loginAccount({ accountId: subject, amr: ['link'] });
    await session.save(SESSION_LIFE);
    context.cookies.set(name, session.jti, { httpOnly: true, sameSite: 'lax', signed: true, overwrite: true });
    sendJson(response, 200, { location: localPath(stringOf(body, 'returnTo')) });
  }

  /** @throws PageError */
  async function consume(subject: string, hash: string, address: string): Promise<void> {
    const query = builder
      .updateTable('login_links')
      .set({ used_at: now() })
      .where('hash', '=', hash)
      .where('used_at', 'is', null);
    try {
      await store.commit({
        statements: [{ query: query.compile(), expect: 1, conflict: 'link_used' }],
        audit: [
          audit.line({
            type: 'login',
            phase: 'single',
            principal: { issuer, subject, amr: ['link'] },
            address,
            outcome: 'signed in',
          }),
        ],
      });
    } catch (error) {
      throw error instanceof StoreError && error.conflict === 'link_used' ? gone() : error;
    }
  }

  return { create, describe, use };
}
