import type { IncomingHttpHeaders } from 'node:http';
import { importJWK, type JWK, jwtVerify } from 'jose';

/** A client that the fake knows, and how it authenticates. */
export interface FakeClient {
  /** `client_id`. */
  readonly id: string;
  /** `client_secret_basic` and `client_secret_post`. */
  readonly secret?: string;
  /** `private_key_jwt`. */
  readonly publicJwk?: JWK;
  /** A workload's own token: `sub`, and the key of the platform that signs it. */
  readonly workload?: { readonly publicJwk: JWK; readonly subject: string };
}

export interface AuthenticatedClient {
  readonly id: string;
  readonly method: 'basic' | 'post' | 'private_key_jwt' | 'workload';
}

/** Undefined where the client does not authenticate, or does so twice. */
export async function checkClient(
  clients: readonly FakeClient[],
  issuer: string,
  headers: IncomingHttpHeaders,
  form: URLSearchParams,
  seen: Set<string>,
): Promise<AuthenticatedClient | undefined> {
  const basic = /^Basic (.+)$/i.exec(headers.authorization ?? '')?.[1];
  const ways = [basic, form.get('client_secret'), form.get('client_assertion')].filter((way) => way != null);
  if (ways.length !== 1) return undefined;
  if (basic !== undefined) {
    const [id = '', secret = ''] = Buffer.from(basic, 'base64').toString().split(':').map(formDecode);
    return clients.some((one) => one.id === id && one.secret === secret) ? { id, method: 'basic' } : undefined;
  }
  const client = clients.find((one) => one.id === form.get('client_id'));
  if (client === undefined) return undefined;
  if (form.has('client_secret')) {
    return client.secret === form.get('client_secret') ? { id: client.id, method: 'post' } : undefined;
  }
  return checkAssertion(client, issuer, form.get('client_assertion') ?? '', seen);
}

async function checkAssertion(
  client: FakeClient,
  issuer: string,
  assertion: string,
  seen: Set<string>,
): Promise<AuthenticatedClient | undefined> {
  const method = client.workload === undefined ? 'private_key_jwt' : 'workload';
  const jwk = client.workload?.publicJwk ?? client.publicJwk;
  if (jwk === undefined) return undefined;
  try {
    const { payload } = await jwtVerify(assertion, await importJWK(jwk));
    if (payload.aud !== issuer || payload.sub !== (client.workload?.subject ?? client.id)) return undefined;
    if (method === 'private_key_jwt') {
      if (typeof payload.jti !== 'string' || payload.exp === undefined || seen.has(payload.jti)) return undefined;
      seen.add(payload.jti);
    }
    return { id: client.id, method };
  } catch {
    return undefined;
  }
}

function formDecode(value: string): string {
  return decodeURIComponent(value.replaceAll('+', ' '));
}
