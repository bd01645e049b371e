import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { z } from 'zod';
import {
  consumers,
  fieldsOf,
  kindNames,
  kinds,
  notYet,
  notYetHonoured,
  notYetInSecretReference,
  type ResourceInput,
  reference,
  secretReference,
  secretReferences,
  secretReferencesIn,
} from '../src/index.ts';

const PACKAGES = join(import.meta.dirname, '..', '..');

/** Blocks that many kinds share: read in one place, whoever has them. */
const SHARED: Readonly<Record<string, z.ZodType>> = {
  SecretReference: secretReference,
  Reference: reference,
  Consumers: consumers,
};
const isShared = (schema: z.ZodType) => secretReferences.has(schema) || schema === reference || schema === consumers;

/**
 * Who reads each field. A field that is added to a schema needs a line here, or one in `notYet` that says to people that
 * it has no effect.
 */
const READERS: Readonly<Record<string, readonly string[]>> = {
  'access/src/identity.ts': [
    'TrustedIssuer.claims.name',
    'TrustedIssuer.claims.email',
    'TrustedIssuer.claims.roles',
    'TrustedIssuer.claims.groups',
  ],
  'access/src/keys.ts': ['TrustedIssuer.keys.kty'],
  'console/src/agents/agents-page.tsx': ['Agent.description'],
  'console/src/models/models-page.tsx': ['ModelConfig.description'],
  'platform/src/control/conditions.ts': ['Agent.type'],
  'platform/src/control/references.ts': [
    'Reference.name',
    'Reference.namespace',
    'Consumers.from',
    'Consumers.selector.matchLabels',
  ],
  'platform/src/issuer/issuer.ts': ['TrustedIssuer.audiences.api'],
  'platform/src/login/login-issuers.ts': [
    'TrustedIssuer.login.scopes',
    'TrustedIssuer.login.resource',
    'TrustedIssuer.login.audience',
  ],
  'platform/src/main.ts': [
    'Agent.declarative.systemMessage',
    'Agent.declarative.systemMessageFrom.secretRef',
    'ModelConfig.model',
  ],
  'platform/src/models/models.ts': [
    'ModelConfig.provider',
    'ModelConfig.openAICompatible.baseUrl',
    'ModelConfig.openAI.baseUrl',
    'ModelConfig.openAI.organization',
    'ModelConfig.ollama.baseUrl',
    'ModelConfig.credentialRef',
    'ModelConfig.defaultHeaders',
    'ModelConfig.parameters',
    'ModelConfig.timeouts.firstToken',
    'ModelConfig.timeouts.idle',
  ],
  'platform/src/policy/bound-tools.ts': [
    'Agent.declarative.tools.mcpServer.name',
    'Agent.declarative.tools.mcpServer.namespace',
    'Agent.declarative.tools.mcpServer.toolNames',
    'Agent.declarative.tools.mcpServer.idempotent',
    'Agent.declarative.tools.mcpServer.timeouts.tool',
    'Agent.consumers',
    'ModelConfig.consumers',
    'RemoteMCPServer.consumers',
    'RemoteMCPServer.toolNames',
    'RemoteMCPServer.enabled',
  ],
  'platform/src/policy/policy.ts': [
    'Agent.enabled',
    'ModelConfig.enabled',
    'TrustedIssuer.maxRole',
    'Grant.to.principal.issuer',
    'Grant.to.principal.subject',
    'Grant.to.group.issuer',
    'Grant.to.group.name',
    'Grant.to.role',
    'Grant.to.everyone.issuer',
    'Grant.on.kind',
    'Grant.on.namespace',
    'Grant.verbs',
    'Grant.tools.allow',
    'Grant.tools.deny',
    'Grant.expiresAt',
  ],
  'platform/src/policy/trusted-issuers.ts': [
    'TrustedIssuer.issuer',
    'TrustedIssuer.jwksUri',
    'TrustedIssuer.algorithms',
    'TrustedIssuer.maxLifetime',
    'TrustedIssuer.typ',
    'TrustedIssuer.requiredClaims',
    'TrustedIssuer.tenants',
    'TrustedIssuer.subjectClaims',
    'TrustedIssuer.subjectPrefix',
    'TrustedIssuer.roleMap',
    'TrustedIssuer.leeway',
    'TrustedIssuer.legacyHs256.secretRef',
    'TrustedIssuer.legacyHs256.previousSecretRef',
    'TrustedIssuer.legacyHs256.lowercaseSecret',
    'TrustedIssuer.legacyHs256.mintSubject',
  ],
  'platform/src/runtime/declarative.ts': [
    'Agent.declarative.maxSteps',
    'Agent.declarative.maxTurnDuration',
    'Agent.declarative.stream',
    'ModelConfig.prices.inputPerMillion',
    'ModelConfig.prices.outputPerMillion',
  ],
  'platform/src/runtime/history.ts': ['Agent.declarative.context.maxTokens', 'Agent.declarative.context.keepLastSteps'],
  'platform/src/runtime/new-turn.ts': ['Agent.maxConcurrentTurns'],
  'platform/src/runtime/tool-calls.ts': [
    'RemoteMCPServer.audit.arguments',
    'RemoteMCPServer.audit.fields',
    'RemoteMCPServer.audit.resultFields',
  ],
  'platform/src/tools/client-config.ts': [
    'TokenService.client',
    'TokenService.clientPerAgent.client',
    'TrustedIssuer.login.client',
  ].flatMap((client) => ['id', 'auth', 'secretRef', 'keyRef', 'tokenFile'].map((field) => `${client}.${field}`)),
  'platform/src/tools/connections.ts': ['RemoteMCPServer.url', 'RemoteMCPServer.protocol'],
  'platform/src/tools/dialect.ts': [
    'TokenService.issuer',
    'TokenService.wellKnownUri',
    'TokenService.profile',
    'TokenService.endpoint',
    'TokenService.allowOtherHost',
    'TokenService.clientPerAgent.agent',
    'TokenService.delegation',
    'TokenService.requestedTokenType',
    'TokenService.subjectTokenType',
    'TokenService.actorTokenType',
    'TokenService.connectorId',
    'TokenService.maxLifetime',
    'TokenService.introspect',
    'TokenService.opaque',
  ],
  'platform/src/tools/discovery.ts': [
    'RemoteMCPServer.auth.mode',
    'RemoteMCPServer.auth.discovery.mode',
    'RemoteMCPServer.auth.discovery.scopes',
  ],
  'platform/src/tools/limits.ts': [
    'RemoteMCPServer.timeouts.connect',
    'RemoteMCPServer.timeouts.firstByte',
    'RemoteMCPServer.timeouts.total',
  ],
  'platform/src/tools/outbound.ts': [
    'RemoteMCPServer.auth.static.header',
    'RemoteMCPServer.auth.static.secretRef',
    'RemoteMCPServer.auth.static.scheme',
    'RemoteMCPServer.headers.name',
    'RemoteMCPServer.headers.value',
    'RemoteMCPServer.headers.secretRef',
  ],
  'platform/src/tools/target.ts': ['RemoteMCPServer.auth.allowExtraAudiences'],
  'platform/src/vault/sources.ts': [
    'Secret.usableBy',
    'Secret.hosts',
    ...['name', 'namespace', 'key', 'env', 'file'].map((field) => `SecretReference.${field}`),
  ],
  'platform/src/vault/tls.ts': ['ModelConfig', 'RemoteMCPServer', 'TokenService'].flatMap((kind) =>
    ['caRef', 'clientCertRef'].map((field) => `${kind}.tls.${field}`),
  ),
  'resources/src/remote-mcp-server.ts': ['RemoteMCPServer.auth.tokenServiceRef'],
  'resources/src/agent.ts': ['Agent.declarative.modelConfigRef', 'Agent.declarative.tools.type'],
  'resources/src/target.ts': [
    ...[
      'Agent.auth',
      'Agent.declarative.tools.mcpServer.auth',
      'RemoteMCPServer.auth',
      'RemoteMCPServer.auth.allowOverride',
    ].flatMap((block) => ['audience', 'resource', 'scopes'].map((field) => `${block}.${field}`)),
    'RemoteMCPServer.auth.resourceFrom',
    'RemoteMCPServer.auth.toolScopes',
    'Agent.declarative.tools.mcpServer.auth.toolScopes',
  ],
  'platform/src/control/plan.ts': ['Secret.data'],
  'platform/src/control/grant-conditions.ts': ['Grant.on.name'],
};

/** Words for people, who read them in the description of the resource; nothing follows from them. */
const FOR_PEOPLE = ['RemoteMCPServer.description', 'Grant.reason'];

/** Every field of every kind, and of what they share: `Agent.declarative.tools.mcpServer.name`. */
function allFields(): string[] {
  const found = new Set<string>();
  const roots = [...kindNames.map((kind) => [kind, kinds[kind].spec] as const), ...Object.entries(SHARED)];
  for (const [root, schema] of roots) {
    const closed: string[] = [];
    for (const { path, schema: field } of fieldsOf(schema)) {
      const name = [root, ...path].join('.');
      if (closed.some((block) => name.startsWith(`${block}.`))) continue;
      found.add(name);
      if (isShared(field)) closed.push(name);
    }
  }
  return [...found];
}

const idle = [
  ...kindNames.flatMap((kind) => Object.keys(notYet[kind] ?? {}).map((path) => `${kind}.${path}`)),
  ...Object.keys(notYetInSecretReference).map((path) => `SecretReference.${path}`),
];
const isIdle = (field: string) => idle.some((path) => field === path || field.startsWith(`${path}.`));

test('every field has an effect, or stands in the table of those that have none yet, and in one place only', () => {
  const fields = allFields();
  const leaves = fields.filter((field) => !fields.some((other) => other.startsWith(`${field}.`)));
  const read = [...Object.values(READERS).flat(), ...FOR_PEOPLE];
  assert.deepEqual(
    leaves.filter((field) => !read.includes(field) && !isIdle(field)),
    [],
    'nobody reads these: give them a reader, or say in not-yet.ts that they have no effect',
  );
  assert.deepEqual(
    read.filter((field) => isIdle(field)),
    [],
    'these are read, and said to have no effect',
  );
  assert.deepEqual(
    [...read, ...idle].filter((field) => !fields.includes(field)),
    [],
    'these are no fields',
  );
  assert.equal(new Set(read).size, read.length, 'each stands here once');
});

test('whoever is said to read a field reads it', () => {
  const missing = Object.entries(READERS).flatMap(([file, fields]) => {
    const text = readFileSync(join(PACKAGES, file), 'utf8');
    return fields.flatMap((field) => {
      const name = field.split('.').at(-1) ?? '';
      // A read of a member, a name taken out of an object, or the name in a list that is walked through.
      return new RegExp(`\\.${name}\\b|[{,]\\s*${name}\\b\\s*[,:=}]|'${name}'`).test(text) ? [] : [`${file}: ${field}`];
    });
  });
  assert.deepEqual(missing, []);
});

test('a document that uses a field without effect is told which, and why, wherever it stands', () => {
  const document = {
    kind: 'Agent' as const,
    spec: {
      type: 'Declarative',
      iconUrl: 'https://example.com/a.png',
      declarative: {
        systemMessageFrom: { secretRef: { vault: 'kv/a', key: 'b' } },
        tools: [
          { type: 'McpServer', mcpServer: { name: 'a' } },
          { type: 'Agent', agent: { name: 'b' } },
        ],
      },
    },
  };
  assert.deepEqual(
    notYetHonoured(document).map((line) => line.split(':')[0]),
    ['spec.iconUrl', 'spec.declarative.tools.agent', 'spec.declarative.systemMessageFrom.secretRef.vault'],
  );
  assert.deepEqual(notYetHonoured({ kind: 'Agent', spec: { type: 'Declarative', declarative: {} } }), []);
});

test('every reference to a Secret is found, by what its schema is and not by its name', () => {
  const ref = (name: string) => ({ name, key: 'k' });
  const server = {
    kind: 'RemoteMCPServer' as const,
    spec: {
      url: 'https://a.example',
      auth: { mode: 'Static', static: { header: 'X', secretRef: ref('one') } },
      headers: [
        { name: 'A', value: 'b' },
        { name: 'B', secretRef: ref('two') },
      ],
      tls: { caRef: ref('three'), clientCertRef: ref('four') },
    },
  } as unknown as ResourceInput;
  assert.deepEqual(
    secretReferencesIn(server).map(({ path, ref: { name } }) => [path, name]),
    [
      ['spec.auth.static.secretRef', 'one'],
      ['spec.headers[1].secretRef', 'two'],
      ['spec.tls.caRef', 'three'],
      ['spec.tls.clientCertRef', 'four'],
    ],
  );
  const found = kindNames.flatMap((kind) =>
    [...fieldsOf(kinds[kind].spec)].flatMap(({ path, schema }) => (secretReferences.has(schema) ? [path.at(-1)] : [])),
  );
  assert.deepEqual(
    [...new Set(found)].sort(),
    ['caRef', 'clientCertRef', 'credentialRef', 'keyRef', 'previousSecretRef', 'secretRef'],
    'as many as there are',
  );
});
