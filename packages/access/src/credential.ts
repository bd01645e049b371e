import { SecretValue } from '@onbehalf/secret-value';
import { AccessError } from './errors.ts';

export type FoundCredential =
  | { kind: 'bearer'; token: SecretValue }
  | { kind: 'session'; cookie: SecretValue }
  | { kind: 'ticket'; ticket: SecretValue };

export interface CredentialRequest {
  headers: Readonly<Record<string, string | string[] | undefined>>;
  /** As received, alternating names and values: the parsed form hides a second Authorization header. */
  rawHeaders: readonly string[];
  /** The request target, path and query. */
  url: string;
  /** Whether this is the upgrade request of a WebSocket. */
  upgrade: boolean;
  cookieName: string;
}

/** `b64token` of RFC 6750 section 2.1. */
const B64TOKEN = /^[A-Za-z0-9\-._~+/]+=*$/;

/**
 * The one credential of a request. The query parameters `access-token` and `ticket` and the subprotocol `bearer` count
 * on a WebSocket upgrade only, because a browser cannot set a header there.
 * @throws {AccessError} `credentials_conflict` for two, `credential_malformed` for one that is none.
 */
export function findCredential(request: CredentialRequest): FoundCredential | undefined {
  const query = request.upgrade ? queryOf(request.url) : new URLSearchParams();
  const bearers = [
    ...authorization(request.rawHeaders),
    ...query.getAll('access-token').map(bearerToken),
    ...(request.upgrade ? subprotocol(request.headers['sec-websocket-protocol']) : []),
  ];
  const found = [
    ...distinct(bearers).map((token) => ({ kind: 'bearer', token: SecretValue.of(token) }) as const),
    ...distinct(cookies(request.headers.cookie, request.cookieName)).map(
      (cookie) => ({ kind: 'session', cookie: SecretValue.of(cookie) }) as const,
    ),
    ...distinct(query.getAll('ticket').map(bearerToken)).map(
      (ticket) => ({ kind: 'ticket', ticket: SecretValue.of(ticket) }) as const,
    ),
  ];
  if (found.length > 1) throw new AccessError('credentials_conflict', 'more than one credential');
  return found[0];
}

/** RFC 9110 section 11.6.2: one field, one scheme. */
function authorization(rawHeaders: readonly string[]): string[] {
  const values = rawHeaders.filter((_, i) => i % 2 === 1 && rawHeaders[i - 1]?.toLowerCase() === 'authorization');
  if (values.length > 1) throw new AccessError('credentials_conflict', 'more than one Authorization header');
  return values.map((value) => {
    const [scheme = '', token = '', ...rest] = value.trim().split(/ +/);
    if (scheme.toLowerCase() !== 'bearer' || rest.length > 0) {
      throw new AccessError('credential_malformed', 'the Authorization header is not one Bearer token');
    }
    return bearerToken(token);
  });
}

/** `Sec-WebSocket-Protocol: bearer, TOKEN`. */
function subprotocol(header: string | string[] | undefined): string[] {
  const offered = [header ?? []].flat().flatMap((value) => value.split(',').map((part) => part.trim()));
  const at = offered.findIndex((part) => part.toLowerCase() === 'bearer');
  return at === -1 ? [] : [bearerToken(offered[at + 1] ?? '')];
}

function cookies(header: string | string[] | undefined, name: string): string[] {
  return [header ?? []]
    .flat()
    .flatMap((value) => value.split(';'))
    .map((pair) => pair.trim())
    .filter((pair) => pair.startsWith(`${name}=`) && pair.length > name.length + 1)
    .map((pair) => pair.slice(name.length + 1));
}

function bearerToken(token: string): string {
  if (!B64TOKEN.test(token)) throw new AccessError('credential_malformed', 'not a bearer token');
  return token;
}

function queryOf(url: string): URLSearchParams {
  const at = url.indexOf('?');
  return new URLSearchParams(at === -1 ? '' : url.slice(at + 1));
}

function distinct(values: readonly string[]): string[] {
  return [...new Set(values)];
}
