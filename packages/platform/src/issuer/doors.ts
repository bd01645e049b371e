import type { Door, IssuerConfig } from '@onbehalf/access';
import { ALG, type SigningKeys } from './keys.ts';

/** Built-in clients for people: first party, no secret. */
export const CONSOLE = 'console';
export const CLI = 'cli';

/** One audience per door: a token for one is nothing at another. */
export function doorAudiences(publicUrl: string): Readonly<Record<Door, string>> {
  return { api: `${publicUrl}/api`, a2a: `${publicUrl}/a2a`, openai: `${publicUrl}/v1`, mcp: `${publicUrl}/mcp` };
}

/** How the doors verify our own access tokens. */
export function ownIssuerConfig(publicUrl: string, keys: Pick<SigningKeys, 'jwks'>): IssuerConfig {
  const { api, a2a, openai, mcp } = doorAudiences(publicUrl);
  return {
    name: 'onbehalf',
    issuer: publicUrl,
    keys: { kind: 'local', current: keys.jwks },
    algorithms: [ALG],
    audiences: { api: [api], a2a: [a2a], openai: [openai], mcp: [mcp] },
    typ: ['at+jwt'],
    subjectClaims: ['sub'],
    maxRole: 'ADMIN',
    maxLifetime: 600,
    rolesFromPrincipals: true,
  };
}
