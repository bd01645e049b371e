import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  AccessError,
  type AccessErrorCode,
  createVerifier,
  type Door,
  type IssuerConfig,
  type PrincipalLookup,
} from '@onbehalf/access';
import { SecretValue } from '@onbehalf/secret-value';

/** Milliseconds; every test's clock starts here. */
export const NOW = 1_800_000_000_000;
export const ISS = 'https://issuer.example';
export const API = 'https://onbehalf.example/api';

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });

export const rsaPublic = rsa.publicKey;
export const rsaPrivate = rsa.privateKey;

export function jwk(key: KeyObject, members: object = {}): object {
  return { ...key.export({ format: 'jwk' }), use: 'sig', ...members };
}

export const jwks = { keys: [jwk(rsa.publicKey, { kid: 'r1', alg: 'RS256' }), jwk(ec.publicKey, { kid: 'e1' })] };

export function issuer(overrides: Partial<IssuerConfig> = {}): IssuerConfig {
  return {
    name: 'main',
    issuer: ISS,
    keys: { kind: 'static', jwks },
    algorithms: ['RS256', 'ES256'],
    audiences: { api: [API], mcp: ['https://onbehalf.example/mcp'], a2a: ['https://onbehalf.example/a2a'] },
    subjectClaims: ['sub'],
    claims: { roles: 'roles', groups: 'groups' },
    maxRole: 'ADMIN',
    ...overrides,
  };
}

export function claims(overrides: Record<string, unknown> = {}): Record<string, unknown> {
  const now = NOW / 1000;
  return { iss: ISS, aud: API, sub: 'alice', iat: now, exp: now + 600, roles: ['REGULAR'], groups: [], ...overrides };
}

export function encode(value: unknown): string {
  return Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
}

/** Any header and payload, also such as no library would sign. */
export function token(payload: unknown = claims(), header: Record<string, unknown> = {}, key = rsa.privateKey): string {
  const input = `${encode({ alg: 'RS256', typ: 'at+jwt', kid: 'r1', ...header })}.${encode(payload)}`;
  return `${input}.${sign('sha256', Buffer.from(input), key).toString('base64url')}`;
}

export function ecToken(payload: unknown = claims(), header: Record<string, unknown> = {}): string {
  const input = `${encode({ alg: 'ES256', typ: 'at+jwt', kid: 'e1', ...header })}.${encode(payload)}`;
  const signature = sign('sha256', Buffer.from(input), { key: ec.privateKey, dsaEncoding: 'ieee-p1363' });
  return `${input}.${signature.toString('base64url')}`;
}

export const nobodyKnown: PrincipalLookup = { lookup: () => undefined, denied: () => false };

export interface Setup {
  issuers?: readonly IssuerConfig[];
  principals?: PrincipalLookup;
  clock?: { now: number };
  cacheSize?: number;
  fetch?: (url: string, init: RequestInit) => Promise<Response>;
}

/** A verifier with a clock that stands still, and no network unless the test brings one. */
export function setup({ issuers = [issuer()], clock = { now: NOW }, ...rest }: Setup = {}) {
  const verifier = createVerifier({
    issuers: () => issuers,
    principals: nobodyKnown,
    now: () => clock.now,
    fetch: () => assert.fail('no request was expected'),
    ...rest,
  });
  return {
    verify: (compact: string, door: Door = 'api') => verifier.verify(SecretValue.of(compact), door),
    refuses: async (compact: string, code: AccessErrorCode | readonly AccessErrorCode[], door: Door = 'api') => {
      await assert.rejects(verifier.verify(SecretValue.of(compact), door), (error: unknown) => {
        assert.ok(error instanceof AccessError, String(error));
        assert.ok([code].flat().includes(error.code), `${error.code}: ${error.message}`);
        assert.ok(compact.length < 20 || !`${error.message}${error.stack}`.includes(compact.slice(-20)));
        return true;
      });
    },
    reload: verifier.reload,
    [Symbol.dispose]: verifier.close,
  };
}

/** A real key set endpoint on a free port. */
export async function jwksServer(initial: { keys: object[] }) {
  const state = { keys: initial.keys, status: 200, requests: 0, hang: false };
  const server = createServer((_request, response) => {
    state.requests += 1;
    if (state.hang) return;
    response.writeHead(state.status, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ keys: state.keys }));
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  return {
    state,
    uri: `http://127.0.0.1:${port}/jwks`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}
