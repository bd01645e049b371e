/** What `onbehalf init` writes: whole, commented documents to start from, one set per dialect of a token service. */
import { namespaceOrDefault } from '@onbehalf/resources';

export interface StarterValues {
  /** Of the agent and of the tool server: DNS labels. */
  agent: string;
  server: string;
  /** Of the tool server. */
  url: string;
  /** Of the token service; else an address that has to be filled in. */
  issuer?: string | undefined;
  namespace?: string | undefined;
}

export interface Starter {
  about: string;
  /** YAML. No document holds the value of a secret. */
  write(values: StarterValues): string;
  /** What has to be stored before the first call: `secret set NAME KEY`. */
  secrets: readonly { name: string; key: string; what: string }[];
}

interface Dialect {
  about: string;
  /** Of TokenService, TrustedIssuer and Secret. */
  name: string;
  issuer: string;
  /** Where people sign in, if that is not the token service itself. */
  signIn?: string;
  trust: readonly string[];
  /** What a sign-in asks for there: fields of `login`. */
  login: readonly string[];
  service: readonly string[];
  client: { id: string; auth: string; ref: 'secretRef' | 'keyRef'; key: string; what: string };
  target: readonly string[];
}

/** By profile, which is also the name of its page. */
const dialects: Readonly<Record<string, Dialect>> = {
  keycloak: {
    about: 'Keycloak 26.2 and later: standard token exchange, by audience',
    name: 'keycloak',
    issuer: 'https://keycloak.example.com/realms/REALM',
    trust: ['audiences: {api: [onbehalf-api]}       # an audience mapper of the login client puts it there'],
    login: ['scopes: [openid, profile]'],
    service: [
      '# To name the agent in `azp`, give each a client of its own:',
      '# clientPerAgent:',
      '#   - agent: {name: AGENT}',
      '#     client: {id: agent-AGENT, auth: SecretBasic, secretRef: {name: keycloak, namespace: default, key: AGENT}}',
    ],
    client: { id: 'onbehalf', auth: 'SecretBasic', ref: 'secretRef', key: 'secret', what: 'the client secret' },
    target: [
      'audience: [orders]                     # the client id of the tool server: required, it limits the token',
    ],
  },
  'entra-obo': {
    about: 'Microsoft Entra ID: the on-behalf-of flow, by scope',
    name: 'entra',
    issuer: 'https://login.microsoftonline.com/TENANT/v2.0',
    trust: [
      'audiences: {api: [CLIENT-ID]}          # people sign in for the application that exchanges',
      'subjectClaims: [tid, oid]              # `sub` is another one for each application',
    ],
    login: ['scopes: [openid, profile, offline_access, "api://CLIENT-ID/.default"]'],
    service: ['maxLifetime: 2h                        # its tokens live 60 to 90 minutes'],
    client: { id: 'CLIENT-ID', auth: 'SecretPost', ref: 'secretRef', key: 'secret', what: 'the client secret' },
    target: [
      "audience: [SERVER-CLIENT-ID]           # not sent: what the token's `aud` must be",
      'scopes: ["api://SERVER-APP/.default"]  # how the target is asked for; a resource is refused',
    ],
  },
  okta: {
    about: 'Okta: a custom authorization server, by its audience and one of its scopes',
    name: 'okta',
    issuer: 'https://example.okta.com/oauth2/AUTH-SERVER',
    signIn: 'https://example.okta.com/oauth2/default',
    trust: [
      'audiences: {api: ["api://onbehalf"]}',
      'subjectClaims: [uid]                   # `sub` is a login name, which can change',
    ],
    login: ['scopes: [openid, profile, offline_access]'],
    service: [],
    client: { id: 'CLIENT-ID', auth: 'PrivateKeyJwt', ref: 'keyRef', key: 'jwk', what: 'the private key, as a JWK' },
    target: [
      'audience: ["api://orders"]             # of that authorization server',
      'scopes: [orders.read]                  # defined at it; a request without one is refused',
      '# toolScopes: {refund_order: [orders.refund]}   # the tokens of that tool have these instead',
    ],
  },
  auth0: {
    about: 'Auth0: by the identifier of an API',
    name: 'auth0',
    issuer: 'https://example.eu.auth0.com/',
    trust: ['audiences: {api: ["https://onbehalf.example.com/api"]}'],
    login: ['scopes: [openid, profile, offline_access]', 'audience: ["https://onbehalf.example.com/api"]'],
    service: [
      '# With an exchange profile of the tenant, the types that it defines:',
      '# subjectTokenType: https://example.com/token-type/person',
    ],
    client: { id: 'CLIENT-ID', auth: 'SecretPost', ref: 'secretRef', key: 'secret', what: 'the client secret' },
    target: ['audience: ["https://orders.example.com"]   # the identifier of the API'],
  },
  zitadel: {
    about: 'Zitadel: by the id of a project or application',
    name: 'zitadel',
    issuer: 'https://example.zitadel.cloud',
    trust: ['audiences: {api: [PROJECT-ID]}'],
    login: ['scopes: [openid, profile, offline_access, "urn:zitadel:iam:org:project:id:PROJECT-ID:aud"]'],
    service: [],
    client: { id: 'CLIENT-ID', auth: 'SecretBasic', ref: 'secretRef', key: 'secret', what: 'the client secret' },
    target: ['audience: [SERVER-PROJECT-ID]          # required; every resource is refused there'],
  },
  dex: {
    about: 'Dex: one client, and so one TokenService, per audience',
    name: 'dex',
    issuer: 'https://dex.example.com',
    signIn: 'https://login.example.com',
    trust: ['audiences: {api: [onbehalf-api]}'],
    login: ['scopes: [openid, profile, offline_access]'],
    service: ['connectorId: company                   # the connector for the issuer where people sign in'],
    client: { id: 'orders', auth: 'SecretBasic', ref: 'secretRef', key: 'secret', what: 'the client secret' },
    target: ['audience: [orders]                     # not sent: the result names the client that asked'],
  },
  rfc8693: {
    about: 'any token service that follows RFC 8693 and RFC 8707: by the URL of the tool server',
    name: 'sts',
    issuer: 'https://sts.example.com',
    trust: ['audiences: {api: ["https://onbehalf.example.com/api"]}'],
    login: ['scopes: [openid, profile, offline_access]', 'resource: ["https://onbehalf.example.com/api"]'],
    service: ['# delegation: none                     # where the service cannot name the agent in `act`'],
    client: { id: 'onbehalf', auth: 'PrivateKeyJwt', ref: 'keyRef', key: 'jwk', what: 'the private key, as a JWK' },
    target: ['resourceFrom: ServerURL                # the token is for spec.url, and for nothing else'],
  },
};

/** By name; the first is the default. */
export const starters: Readonly<Record<string, Starter>> = {
  agent: {
    about: 'an agent and one tool server, with the embedded token service',
    secrets: [],
    write: (values) =>
      documents(
        '# An agent that calls one tool server with a token for the person who asks.',
        toolServer(values, [
          'tokenServiceRef: {name: onbehalf}      # the embedded one',
          'resourceFrom: ServerURL                # the token is for spec.url, and for nothing else',
          '# scopes: [orders.read]                # what the tool server asks for',
          '# toolScopes: {refund_order: [orders.refund]}   # the tokens of that tool have these instead',
        ]),
        agent(values),
        grant(values, '{role: REGULAR}', '# Whoever has this role; narrower: {principal: {subject}}'),
      ),
  },
  ...Object.fromEntries(Object.entries(dialects).map(([profile, dialect]) => [profile, starterOf(profile, dialect)])),
};

function starterOf(profile: string, dialect: Dialect): Starter {
  const { name, client, trust, login, service, target } = dialect;
  return {
    about: dialect.about,
    secrets: [{ name, key: client.key, what: client.what }],
    write(values) {
      const issuer = values.issuer ?? dialect.issuer;
      const signIn = dialect.signIn ?? issuer;
      const namespace = namespaceOrDefault(values);
      const secret = `{name: ${name}, namespace: ${namespace}, key: ${client.key}}`;
      return documents(
        `# People sign in at ${signIn}, and tokens for tool servers come from ${issuer}.\n# What to configure there: docs/token-services/${profile}.md. Words in capitals are to be filled in.`,
        document('TrustedIssuer', name, [
          '# Whose tokens are accepted here, and for which audience.',
          `issuer: ${signIn}`,
          ...trust,
          'maxRole: REGULAR',
          '# So that people sign in to the console and the command line there (docs/sign-in.md): a client with the redirect',
          `# URI PUBLIC_URL/login/callback/${name}, and its secret by \`onbehalf secret set ${name}-login secret${of(namespace)}\`.`,
          '# login:',
          `#   client: {id: LOGIN-CLIENT-ID, auth: SecretBasic, secretRef: {name: ${name}-login, namespace: ${namespace}, key: secret}}`,
          ...login.map((line) => `#   ${line}`),
        ]),
        document('TokenService', name, [
          `issuer: ${issuer}`,
          `profile: ${profile}`,
          ...service,
          '# The value is stored apart, sealed, and never shown again:',
          `#   onbehalf secret set ${name} ${client.key}${of(namespace)} --from-file FILE    # ${client.what}`,
          `client: {id: ${client.id}, auth: ${client.auth}, ${client.ref}: ${secret}}`,
        ]),
        toolServer(values, [
          `tokenServiceRef: {name: ${name}}`,
          ...target,
          'discovery: {mode: None}                # it lists its tools without a token; else: Workload',
        ]),
        agent(values),
        grant(
          values,
          `{everyone: {issuer: "${signIn}"}}`,
          '# Everybody of that issuer; narrower: {group: {issuer, name}}',
        ),
      );
    },
  };
}

const of = (namespace: string) => (namespace === 'default' ? '' : ` -n ${namespace}`);

const documents = (about: string, ...all: string[]) => `${about}\n${all.join('---\n')}`;

function document(kind: string, name: string, spec: readonly string[], namespace?: string): string {
  const place = namespace === undefined ? '' : `, namespace: ${namespace}`;
  const lines = spec.map((line) => `  ${line}\n`).join('');
  return `apiVersion: onbehalf.dev/v1alpha1\nkind: ${kind}\nmetadata: {name: ${name}${place}}\nspec:\n${lines}`;
}

const toolServer = ({ server, url, namespace }: StarterValues, auth: readonly string[]) =>
  document(
    'RemoteMCPServer',
    server,
    [
      '# An MCP server over HTTP. It verifies its bearer token itself: issuer, audience, person, agent.',
      `url: ${url}`,
      'auth:',
      '  mode: Exchange                         # each person has a token of their own for it',
      ...auth.map((line) => `  ${line}`),
    ],
    namespace,
  );

const agent = ({ agent: name, server, namespace }: StarterValues) =>
  document(
    'Agent',
    name,
    [
      'type: Declarative',
      'description: Answers with the tools',
      'declarative:',
      '  systemMessage: Use the tools for facts, and say which ones you used.',
      '  modelConfigRef: {name: default}          # a ModelConfig of this namespace: onbehalf get model-configs',
      '  tools:',
      '    - type: McpServer',
      `      mcpServer: {name: ${server}}           # every tool that it offers; fewer: toolNames: [list_orders]`,
    ],
    namespace,
  );

const grant = ({ agent: name, namespace }: StarterValues, to: string, comment: string) =>
  document(
    'Grant',
    `people-run-${name}`.slice(0, 63).replace(/-$/, ''),
    [
      comment,
      `to: ${to}`,
      `on: {kind: Agent, name: ${name}${namespace === undefined ? '' : `, namespace: ${namespace}`}}`,
      'verbs: [run]',
    ],
    namespace,
  );
