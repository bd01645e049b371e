import type { Condition, Resource } from '@onbehalf/resources';
import { age, type Column } from './output.ts';

type Row = Resource;

const conditionOf = (resource: Row, type: Condition['type']) =>
  resource.status.conditions?.find((condition) => condition.type === type);

/** `True`, or the reason why not. */
export function ready(resource: Row): string | undefined {
  const found = conditionOf(resource, 'Ready') ?? conditionOf(resource, 'Accepted');
  if (found?.status !== 'True') return found?.reason;
  const lacking = (['ResolvedRefs', 'ToolsDiscovered'] as const)
    .map((type) => conditionOf(resource, type))
    .find((condition) => condition?.status === 'False');
  return lacking?.reason ?? 'True';
}

const own: { [K in Row['kind']]: Column<Extract<Row, { kind: K }>>[] } = {
  Agent: [
    { title: 'TYPE', value: ({ spec }) => spec.type },
    { title: 'MODEL', value: ({ spec }) => (spec.declarative?.modelConfigRef ?? spec.byo?.modelConfigRef)?.name },
    { title: 'ENABLED', value: ({ spec }) => spec.enabled !== false },
    { title: 'DESCRIPTION', value: ({ spec }) => spec.description, wide: true },
  ],
  ModelConfig: [
    { title: 'PROVIDER', value: ({ spec }) => spec.provider },
    { title: 'MODEL', value: ({ spec }) => spec.model },
    { title: 'ENABLED', value: ({ spec }) => spec.enabled !== false },
  ],
  RemoteMCPServer: [
    { title: 'MODE', value: ({ spec }) => spec.auth?.mode ?? 'None' },
    { title: 'TOOLS', value: ({ status }) => toolCount(status.tools) },
    { title: 'URL', value: ({ spec }) => spec.url },
  ],
  TokenService: [
    { title: 'PROFILE', value: ({ spec }) => spec.profile },
    { title: 'ISSUER', value: ({ spec }) => spec.issuer ?? spec.wellKnownUri },
  ],
  TrustedIssuer: [
    { title: 'ISSUER', value: ({ spec }) => spec.issuer },
    { title: 'MAX ROLE', value: ({ spec }) => spec.maxRole },
  ],
  Secret: [{ title: 'FIELDS', value: ({ status }) => Object.keys(status.fields ?? {}).join(',') }],
  Grant: [
    { title: 'TO', value: ({ spec }) => granteeText(spec.to) },
    { title: 'ON', value: ({ spec }) => targetText(spec.on) },
    { title: 'VERBS', value: ({ spec }) => spec.verbs.join(',') },
    { title: 'EXPIRES', value: ({ spec }) => spec.expiresAt },
  ],
};

export function columnsOf(kind: Row['kind'], now: number): Column<Row>[] {
  return [
    { title: 'NAME', value: ({ metadata }) => metadata.name },
    { title: 'NAMESPACE', value: ({ metadata }) => metadata.namespace },
    // Rows of one list are of one kind.
    ...(own[kind] as unknown as Column<Row>[]),
    { title: 'READY', value: ready },
    { title: 'AGE', value: ({ metadata }) => age(metadata.createdAt, now) },
    { title: 'GENERATION', value: ({ metadata }) => metadata.generation, wide: true },
    { title: 'OWNER', value: ({ metadata }) => metadata.owner?.subject, wide: true },
    { title: 'MANAGED BY', value: ({ metadata }) => metadata.managedBy, wide: true },
    { title: 'UID', value: ({ metadata }) => metadata.uid, wide: true },
  ];
}

function toolCount(tools: readonly { approved: boolean }[] | undefined): string | undefined {
  if (!tools) return undefined;
  const approved = tools.filter((tool) => tool.approved).length;
  return approved === tools.length ? String(approved) : `${approved}/${tools.length} approved`;
}

type Grant = Extract<Row, { kind: 'Grant' }>['spec'];

export function granteeText(to: Grant['to']): string {
  if (to.principal) return to.principal.subject;
  if (to.group) return `group:${to.group.name}`;
  return to.role ? `role:${to.role}` : 'everyone';
}

export function targetText(on: Grant['on']): string {
  return on.kind === undefined ? `namespace ${on.namespace ?? ''}` : `${on.kind}/${on.name ?? ''}`;
}
