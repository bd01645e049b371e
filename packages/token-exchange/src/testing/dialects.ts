import { decodeJwt } from 'jose';
import { dexSubject } from '../profiles/dex.ts';
import type { ProfileName } from '../types.ts';
import type { Issue, RefusalAnomaly } from './anomalies.ts';
import type { AuthenticatedClient } from './client-check.ts';

/** How a real server differs from the standard one. */
export interface Dialect {
  /** Refuses as the real server would; undefined lets the request through. */
  refuse?(form: URLSearchParams, client: AuthenticatedClient): RefusalAnomaly | undefined;
  /** Turns the request into what the real server understands by it. */
  read?(form: URLSearchParams): URLSearchParams;
  /** Turns the answer into what the real server says. */
  issue?(issue: Issue, form: URLSearchParams, client: AuthenticatedClient): void;
  /** How it refuses a client that does not authenticate. */
  readonly badClient?: RefusalAnomaly;
  /** How it refuses a subject token. */
  readonly badSubject?: RefusalAnomaly;
}

const TYPES = 'urn:ietf:params:oauth:token-type:';
const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';

const bad = (error: string, description: string, status = 400): RefusalAnomaly => ({ error, description, status });

/** Client ids that the requester may name, and one that exists but is not permitted. */
const KEYCLOAK_PERMITTED = ['orders', 'leave'];
const KEYCLOAK_KNOWN = [...KEYCLOAK_PERMITTED, 'forbidden'];

const keycloak: Dialect = {
  badClient: bad('unauthorized_client', 'Invalid client or Invalid client credentials', 401),
  badSubject: bad('invalid_request', 'Invalid token'),
  refuse(form, client) {
    if (form.get('grant_type') !== EXCHANGE) return undefined;
    if (form.get('subject_token_type') !== `${TYPES}access_token`) return bad('invalid_request', 'Invalid token type');
    if (!audienceOf(form.get('subject_token')).includes(client.id)) {
      return bad('access_denied', 'Client is not within the token audience', 403);
    }
    for (const audience of form.getAll('audience')) {
      if (!KEYCLOAK_KNOWN.includes(audience)) return bad('invalid_client', 'Audience not found');
      if (!KEYCLOAK_PERMITTED.includes(audience)) {
        return bad('invalid_request', `Requested audience not available: ${audience}`);
      }
    }
    return form.get('scope') === 'unknown' ? bad('invalid_scope', 'Invalid scopes: unknown') : undefined;
  },
  read: (form) => {
    const read = without(form, 'resource', 'actor_token', 'actor_token_type');
    if (!read.has('audience')) for (const audience of KEYCLOAK_PERMITTED) read.append('audience', audience);
    return read;
  },
  issue(issue, form) {
    const { claims, body } = issue;
    drop(claims, 'client_id', 'sub_id', 'act');
    const scope = form.has('scope') ? ['profile', ...(form.get('scope') ?? '').split(' ').reverse()].join(' ') : '';
    Object.assign(claims, { scope });
    Object.assign(body, { scope, 'not-before-policy': 0 });
    if (form.get('requested_token_type') === `${TYPES}id_token`) body.token_type = 'N_A';
    issue.typ = 'JWT';
  },
};

const entra: Dialect = {
  badClient: bad('invalid_client', 'AADSTS7000215: Invalid client secret provided.', 401),
  badSubject: bad('invalid_grant', 'AADSTS500133: Assertion is not within its valid time range.'),
  refuse(form, client) {
    if (form.has('resource')) return bad('invalid_request', 'AADSTS901002: The resource parameter is not supported.');
    if (form.get('grant_type') === 'client_credentials') return undefined;
    if (form.get('requested_token_use') !== 'on_behalf_of') return bad('invalid_request', 'AADSTS900144');
    if (!/\/\.default$/.test(form.get('scope') ?? '')) return bad('invalid_scope', 'AADSTS70011');
    return audienceOf(form.get('assertion')).includes(client.id)
      ? undefined
      : bad('invalid_grant', 'AADSTS500131: Assertion audience does not match the Client app.');
  },
  read: (form) =>
    new URLSearchParams({
      grant_type: form.has('assertion') ? EXCHANGE : 'client_credentials',
      subject_token: form.get('assertion') ?? '',
      audience: (form.get('scope') ?? '').replace(/\/\.default$/, ''),
    }),
  issue(issue, _form, client) {
    drop(issue.claims, 'client_id', 'sub_id', 'act', 'scope');
    Object.assign(issue.claims, { sub: `pairwise-${client.id}`, azp: client.id, scp: 'access', ver: '2.0' });
    Object.assign(issue.body, { scope: `${issue.claims.aud}/access`, ext_expires_in: 300 });
    drop(issue.body, 'issued_token_type');
    issue.typ = 'JWT';
  },
};

const okta: Dialect = {
  badSubject: bad('invalid_grant', 'The subject token is invalid.'),
  refuse: (form) => (form.has('scope') ? undefined : bad('invalid_scope', 'The request must name a custom scope.')),
  read: (form) => without(form, 'resource'),
  issue(issue, _form, client) {
    const { claims } = issue;
    Object.assign(claims, { cid: client.id, uid: claims.sub, sub: `${claims.sub}@example.com` });
    if (typeof claims.scope === 'string') claims.scp = claims.scope.split(' ');
    drop(claims, 'client_id', 'azp', 'sub_id', 'scope');
    issue.typ = 'application/okta-internal-at+jwt';
  },
};

const auth0: Dialect = {
  badSubject: bad('invalid_request', 'The subject token is not valid.'),
  refuse(form) {
    if (form.has('resource')) return bad('invalid_request', 'resource is not enabled for this tenant');
    return form.has('requested_token_type')
      ? bad('invalid_request', 'requested_token_type is not supported')
      : undefined;
  },
  issue: ({ claims }) => drop(claims, 'client_id', 'sub_id'),
};

const zitadel: Dialect = {
  refuse: (form) => (form.has('resource') ? bad('invalid_target', 'resource is not supported') : undefined),
  issue(issue, form) {
    drop(issue.claims, 'azp', 'sub_id', 'act');
    const requested = form.get('requested_token_type') ?? `${TYPES}access_token`;
    if (issue.body.issued_token_type) issue.body.issued_token_type = requested;
    if (requested === `${TYPES}access_token`) issue.signedBy = 'opaque';
    issue.typ = 'JWT';
  },
};

const dex: Dialect = {
  badSubject: bad('access_denied', '', 401),
  refuse: (form) => (form.get('connector_id') ? undefined : bad('invalid_request', 'Missing connector_id')),
  read: (form) => without(form, 'audience', 'resource', 'actor_token', 'actor_token_type'),
  issue(issue, form, client) {
    const { claims, body } = issue;
    Object.assign(claims, { aud: client.id, sub: dexSubject(String(claims.sub), form.get('connector_id') ?? '') });
    drop(claims, 'client_id', 'azp', 'sub_id', 'act', 'scope');
    drop(body, 'scope');
    issue.typ = 'JWT';
  },
};

/** Of each profile; `{}` is the standard. */
export const dialects: Readonly<Record<ProfileName, Dialect>> = {
  rfc8693: {},
  onbehalf: {},
  keycloak,
  'entra-obo': entra,
  okta,
  auth0,
  zitadel,
  dex,
};

function audienceOf(token: string | null): unknown[] {
  return [decodeJwt(token ?? '').aud].flat();
}

function without(form: URLSearchParams, ...names: string[]): URLSearchParams {
  return new URLSearchParams([...form].filter(([name]) => !names.includes(name)));
}

function drop(target: Record<string, unknown>, ...names: string[]): void {
  for (const name of names) delete target[name];
}
