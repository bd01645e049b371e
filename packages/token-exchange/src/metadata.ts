import { misconfigured, TokenExchangeError, untrusted } from './errors.ts';
import { objectOf } from './json.ts';
import { quote } from './target.ts';
import { type Answer, busy, secureUrl } from './transport.ts';
import type { TokenServiceConfig } from './types.ts';

export interface ServiceMetadata {
  readonly issuer: string;
  readonly tokenEndpoint: string;
  readonly jwksUri: string | undefined;
  readonly introspectionEndpoint: string | undefined;
  readonly revocationEndpoint: string | undefined;
}

const OAUTH = '/.well-known/oauth-authorization-server';
const OIDC = '/.well-known/openid-configuration';

/** RFC 8414 section 3.1 puts the segment between host and path; OpenID Connect Discovery section 4 appends it. */
export function wellKnownUris(issuer: string): readonly string[] {
  const url = secureUrl(issuer, 'the issuer');
  if (url.search !== '' || url.hash !== '') throw misconfigured('the issuer has a query or a fragment');
  const path = url.pathname.replace(/\/$/, '');
  return [...new Set([`${url.origin}${OAUTH}${path}`, `${url.origin}${OIDC}${path}`, `${url.origin}${path}${OIDC}`])];
}

/** The issuers that a metadata address can belong to; a path that is only a slash leaves two spellings open. */
export function issuersOf(wellKnownUri: string): readonly string[] {
  const { origin, pathname } = secureUrl(wellKnownUri, 'the metadata address');
  for (const segment of [OAUTH, OIDC]) {
    if (pathname.startsWith(segment)) return spellings(origin, pathname.slice(segment.length));
    if (pathname.endsWith(segment)) return spellings(origin, pathname.slice(0, -segment.length));
  }
  throw misconfigured('the metadata address has no well-known segment; name the issuer as well');
}

function spellings(origin: string, path: string): readonly string[] {
  return path === '' || path === '/' ? [origin, `${origin}/`] : [origin + path];
}

/** `issuer` in the document must be, letter for letter, what was asked for (RFC 8414 section 3.3). */
export async function discover(
  service: TokenServiceConfig,
  get: (url: string, last: boolean) => Promise<Answer>,
): Promise<ServiceMetadata> {
  const uris = service.wellKnownUri === undefined ? wellKnownUris(service.issuer ?? '') : [service.wellKnownUri];
  const issuers = service.issuer === undefined ? issuersOf(service.wellKnownUri ?? '') : [service.issuer];
  let broken: TokenExchangeError | undefined;
  for (const uri of uris) {
    const document = await documentAt(uri, (url) => get(url, uri === uris.at(-1))).catch((error: unknown) => {
      if (!(error instanceof TokenExchangeError) || !isOfForm(error)) throw error;
      broken ??= error;
      return undefined;
    });
    if (document === undefined) continue;
    const { issuer } = document;
    if (!issuers.includes(issuer)) {
      throw untrusted(`the metadata at ${quote(uri)} is of another issuer, ${quote(issuer)}`, { deviation: 'issuer' });
    }
    const endpointOf = (name: string) => readEndpoint(document, name, issuer, service.allowOtherHost === true);
    const tokenEndpoint = service.endpoint ?? endpointOf('token_endpoint');
    if (tokenEndpoint === undefined) throw untrusted('the metadata names no token endpoint', { deviation: 'metadata' });
    return {
      issuer,
      tokenEndpoint,
      jwksUri: service.jwksUri ?? endpointOf('jwks_uri'),
      introspectionEndpoint: endpointOf('introspection_endpoint'),
      revocationEndpoint: service.revocationEndpoint ?? endpointOf('revocation_endpoint'),
    };
  }
  if (broken !== undefined) throw broken;
  const configured = configuredMetadata(service);
  if (configured !== undefined) return configured;
  throw misconfigured('no metadata document was found for the token service');
}

/** Undefined where there is none. */
async function documentAt(uri: string, get: (url: string) => Promise<Answer>) {
  const answer = await get(uri);
  if (answer.status >= 500) throw busy(answer);
  if (answer.status !== 200) return undefined;
  const document = objectOf(answer.json);
  const issuer = document?.issuer;
  if (document === undefined || typeof issuer !== 'string') {
    throw untrusted(`the metadata at ${quote(uri)} is not a metadata document`, { deviation: 'metadata' });
  }
  return { ...document, issuer };
}

/** A front page, a redirect or an error may be the answer for a path that nobody serves. */
const isOfForm = ({ deviation, serviceError }: TokenExchangeError): boolean =>
  deviation === 'metadata' || deviation === 'redirect' || (serviceError?.status ?? 0) >= 500;

/** What is known without any document, where that is enough to ask for a token. */
export function configuredMetadata(service: TokenServiceConfig): ServiceMetadata | undefined {
  const { issuer, endpoint: tokenEndpoint, jwksUri, revocationEndpoint } = service;
  if (issuer === undefined || tokenEndpoint === undefined) return undefined;
  return { issuer, tokenEndpoint, jwksUri, introspectionEndpoint: undefined, revocationEndpoint };
}

/**
 * People's tokens and the client's credential are sent to these addresses, or keys are believed that come from there: one
 * on another host than the issuer's takes the administrator's word.
 */
function readEndpoint(
  document: Record<string, unknown>,
  name: string,
  issuer: string,
  allowOtherHost: boolean,
): string | undefined {
  const value = document[name];
  if (typeof value !== 'string') return undefined;
  const { host } = secureUrl(value, `the ${name} in the metadata`);
  if (allowOtherHost || host === new URL(issuer).host) return value;
  throw misconfigured(
    `the ${name} in the metadata is on ${quote(host)}, not the issuer's host: set allowOtherHost if that is right`,
  );
}
