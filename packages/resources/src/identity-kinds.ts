import { z } from 'zod';
import { nearest } from './nearest.ts';
import {
  clusterSecretReference,
  consumers,
  credentialUrl,
  dnsLabel,
  duration,
  httpUrl,
  reference,
  resourceUri,
  tls,
} from './primitives.ts';

export const exchangeProfiles = [
  'rfc8693',
  'onbehalf',
  'keycloak',
  'entra-obo',
  'okta',
  'auth0',
  'zitadel',
  'dex',
] as const;

function unknownProfile(input: unknown): string {
  const meant = typeof input === 'string' ? nearest(input, exchangeProfiles) : undefined;
  return `${meant ? `did you mean ${meant}? Known` : 'known'} are ${exchangeProfiles.join(', ')}`;
}

const client = z
  .strictObject({
    id: z.string().min(1),
    auth: z.enum(['SecretBasic', 'SecretPost', 'PrivateKeyJwt', 'WorkloadToken']),
    secretRef: clusterSecretReference.exactOptional(),
    keyRef: clusterSecretReference.exactOptional(),
    tokenFile: z.string().min(1).exactOptional(),
  })
  .superRefine((value, context) => {
    const needed = {
      SecretBasic: 'secretRef',
      SecretPost: 'secretRef',
      PrivateKeyJwt: 'keyRef',
      WorkloadToken: 'tokenFile',
    }[value.auth] as 'secretRef' | 'keyRef' | 'tokenFile';
    if (!value[needed])
      context.addIssue({ code: 'custom', path: [needed], message: `auth ${value.auth} needs \`${needed}\`` });
  });

export const tokenServiceSpec = z
  .strictObject({
    issuer: credentialUrl.exactOptional(),
    wellKnownUri: credentialUrl.exactOptional(),
    profile: z.enum(exchangeProfiles, { error: ({ input }) => unknownProfile(input) }),
    endpoint: credentialUrl.exactOptional(),
    /** Believe metadata that names endpoints or keys on another host than the issuer's. */
    allowOtherHost: z.boolean().exactOptional(),
    client: client.exactOptional(),
    clientPerAgent: z.array(z.strictObject({ agent: reference, client })).exactOptional(),
    delegation: z.enum(['act', 'azp', 'none']).exactOptional(),
    requestedTokenType: z.string().min(1).exactOptional(),
    /** Token type URIs of services that do not take the registered ones, such as a custom exchange at Auth0. */
    subjectTokenType: z.string().min(1).exactOptional(),
    actorTokenType: z.string().min(1).exactOptional(),
    /** Profile `dex`: the connector that knows the subject token's issuer. */
    connectorId: z.string().min(1).exactOptional(),
    maxLifetime: duration.exactOptional(),
    introspect: z.boolean().exactOptional(),
    opaque: z.enum(['Refuse', 'Accept']).exactOptional(),
    consumers: consumers.exactOptional(),
    tls: tls.exactOptional(),
  })
  .refine((spec) => (spec.issuer === undefined) !== (spec.wellKnownUri === undefined), {
    path: ['issuer'],
    message: 'give either `issuer` or `wellKnownUri`',
  })
  .refine((spec) => spec.connectorId === undefined || spec.profile === 'dex', {
    path: ['connectorId'],
    message: 'has a meaning with profile dex only',
  })
  .refine((spec) => spec.connectorId !== undefined || spec.profile !== 'dex', {
    path: ['connectorId'],
    message: 'is required by profile dex',
  });
export type TokenServiceSpec = z.infer<typeof tokenServiceSpec>;

export const roles = ['INACTIVE', 'RESTRICTED', 'REGULAR', 'AUDITOR', 'ADMIN'] as const;
export const role = z.enum(roles);

/** Only asymmetric JWS algorithms: a shared secret is `legacyHs256`, never a key of a JWKS. */
export const jwsAlgorithms = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
] as const;

const audienceList = z.array(z.string().min(1)).exactOptional();

/** The name of a claim, or a path into objects; a name with a dot is quoted. */
const claimPath = z
  .string()
  .max(512)
  .regex(/^(?:"[^"]+"|[^".]+)(?:\.(?:"[^"]+"|[^".]+)){0,15}$/, {
    message:
      'must be the name of a claim or a path such as realm_access.roles; quote a name with a dot: access."my.app".roles',
  });

export const trustedIssuerSpec = z
  .strictObject({
    issuer: z.string().min(1),
    jwksUri: httpUrl.exactOptional(),
    keys: z.array(z.looseObject({ kty: z.string() })).exactOptional(),
    algorithms: z.array(z.enum(jwsAlgorithms)).min(1).exactOptional(),
    audiences: z
      .strictObject({ api: audienceList, a2a: audienceList, openai: audienceList, mcp: audienceList })
      .exactOptional(),
    maxLifetime: duration.exactOptional(),
    typ: z.array(z.string()).exactOptional(),
    requiredClaims: z.record(z.string(), z.unknown()).exactOptional(),
    tenants: z.array(z.string()).exactOptional(),
    subjectClaims: z.array(z.string()).min(1).exactOptional(),
    subjectPrefix: z.string().exactOptional(),
    claims: z
      .strictObject({
        name: claimPath.exactOptional(),
        email: claimPath.exactOptional(),
        roles: claimPath.exactOptional(),
        groups: claimPath.exactOptional(),
      })
      .exactOptional(),
    roleMap: z.record(z.string(), role).exactOptional(),
    maxRole: role.exactOptional(),
    login: z
      .strictObject({
        client,
        scopes: z.array(z.string()).exactOptional(),
        resource: z.array(resourceUri).exactOptional(),
        audience: z.array(z.string()).exactOptional(),
      })
      .exactOptional(),
    leeway: duration.exactOptional(),
    legacyHs256: z
      .strictObject({
        secretRef: clusterSecretReference,
        previousSecretRef: clusterSecretReference.exactOptional(),
        lowercaseSecret: z.boolean().exactOptional(),
        mintSubject: z.boolean().exactOptional(),
      })
      .exactOptional(),
  })
  .refine((spec) => spec.jwksUri === undefined || spec.keys === undefined, {
    path: ['keys'],
    message: 'give either `jwksUri` or `keys`',
  });
export type TrustedIssuerSpec = z.infer<typeof trustedIssuerSpec>;

const MOST_SECRET_FIELDS = 64;

/** Each field is sealed and stored by itself, so there are only so many. */
export const secretData = z
  .record(z.string().regex(/^[A-Za-z0-9._-]{1,253}$/), z.string().min(1).max(65_536))
  .refine((data) => Object.keys(data).length <= MOST_SECRET_FIELDS, {
    message: `holds more than ${MOST_SECRET_FIELDS} fields: use several Secrets`,
  });

export const secretSpec = z.strictObject({
  data: secretData.exactOptional(),
  usableBy: z
    .array(z.enum(['Agent', 'RemoteMCPServer', 'ModelConfig', 'TokenService', 'TrustedIssuer']))
    .exactOptional(),
  hosts: z
    .array(
      httpUrl.refine((value) => !URL.canParse(value) || new URL(value).origin === value, {
        message: 'must be an origin such as https://api.example.com, without path',
      }),
    )
    .exactOptional(),
});
export type SecretSpec = z.infer<typeof secretSpec>;

export const verbs = ['read', 'run', 'use', 'write', 'admin', 'decide'] as const;

const exactlyOne = (value: Record<string, unknown>) => Object.keys(value).length === 1;

/** Of people: left out, it is the server's own issuer, which fills it in when the Grant is written. */
const peopleIssuer = z.string().min(1).exactOptional();

export const grantSpec = z.strictObject({
  to: z
    .strictObject({
      principal: z.strictObject({ issuer: peopleIssuer, subject: z.string().min(1) }).exactOptional(),
      group: z.strictObject({ issuer: peopleIssuer, name: z.string().min(1) }).exactOptional(),
      role: role.exactOptional(),
      everyone: z.strictObject({ issuer: peopleIssuer }).exactOptional(),
    })
    .refine(exactlyOne, { message: 'must be exactly one of principal, group, role, everyone' }),
  on: z
    .strictObject({
      kind: z
        .enum(['Agent', 'RemoteMCPServer', 'ModelConfig', 'Secret', 'TokenService', 'TrustedIssuer', 'Budget'])
        .exactOptional(),
      name: dnsLabel.exactOptional(),
      namespace: dnsLabel.exactOptional(),
    })
    .refine((on) => (on.kind === undefined) === (on.name === undefined) && (on.kind ?? on.namespace) !== undefined, {
      message: 'must be {kind, name} or {namespace}',
    }),
  verbs: z.array(z.enum(verbs)).min(1),
  tools: z
    .strictObject({ allow: z.array(z.string()).exactOptional(), deny: z.array(z.string()).exactOptional() })
    .exactOptional(),
  expiresAt: z.iso.datetime({ offset: true }).exactOptional(),
  reason: z.string().max(1_024).exactOptional(),
});
export type GrantSpec = z.infer<typeof grantSpec>;

type WithIssuer<T> = Omit<T, 'issuer'> & { issuer: string };
type Grantee = GrantSpec['to'];
/** Whom a Grant is to, as the server keeps it: people are of an issuer. */
export interface KeptGrantee extends Pick<Grantee, 'role'> {
  principal?: WithIssuer<NonNullable<Grantee['principal']>>;
  group?: WithIssuer<NonNullable<Grantee['group']>>;
  everyone?: WithIssuer<NonNullable<Grantee['everyone']>>;
}
export type KeptGrantSpec = Omit<GrantSpec, 'to'> & { to: KeptGrantee };

/** The same grantee with the issuer that was left out. */
export const granteeAt = (own: string, { principal, group, role, everyone }: Grantee): KeptGrantee => ({
  ...(principal && { principal: { issuer: own, ...principal } }),
  ...(group && { group: { issuer: own, ...group } }),
  ...(role && { role }),
  ...(everyone && { everyone: { issuer: own, ...everyone } }),
});
