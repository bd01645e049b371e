import { z } from 'zod';
import { dnsLabel } from './primitives.ts';

export const API_VERSION = 'onbehalf.dev/v1alpha1';

const labels = z.record(z.string().max(317), z.string().max(63));
const annotations = z.record(z.string().max(317), z.string().max(4_096));

export const managedBy = z.enum(['api', 'file', 'environment', 'cluster']);
export type ManagedBy = z.infer<typeof managedBy>;

export const principalRef = z.strictObject({ issuer: z.string().min(1), subject: z.string().min(1) });
export type PrincipalRef = z.infer<typeof principalRef>;

/** What a person writes. */
export const metadataInput = z.strictObject({
  name: dnsLabel,
  namespace: dnsLabel.exactOptional(),
  labels: labels.exactOptional(),
  annotations: annotations.exactOptional(),
  uid: z.string().exactOptional(),
  generation: z.int().exactOptional(),
  resourceVersion: z.string().exactOptional(),
  owner: principalRef.exactOptional(),
  managedBy: managedBy.exactOptional(),
  source: z.string().exactOptional(),
  createdAt: z.string().exactOptional(),
  updatedAt: z.string().exactOptional(),
});

/** What the server keeps and returns. `generation` counts changes of `spec`, `resourceVersion` every change. */
export const metadata = metadataInput.required({ uid: true, generation: true, resourceVersion: true, managedBy: true });
export type Metadata = z.infer<typeof metadata>;

const goodConditions = [
  'Accepted',
  'ResolvedRefs',
  'CredentialResolved',
  'ToolsDiscovered',
  'Ready',
  'Reachable',
  'Rotated',
] as const;
const badConditions = [
  'ToolDrift',
  'ForwardRisk',
  'ActorNotBound',
  'SubjectTokenUnusable',
  'AgentReplaced',
  'CrashLoop',
  'Unconfined',
  'Conflict',
  'KeyInWorkload',
] as const;
export const conditionTypes = [...goodConditions, ...badConditions] as const;

/** Kubernetes' shape of a condition: a stable reason, and a message that says what to do. */
export const condition = z.strictObject({
  type: z.enum(conditionTypes),
  status: z.enum(['True', 'False', 'Unknown']),
  reason: z.string().regex(/^[A-Z][A-Za-z0-9]*$/),
  message: z.string().max(1_024),
  observedGeneration: z.int(),
  lastTransitionTime: z.string(),
});
export type Condition = z.infer<typeof condition>;
export type ConditionType = Condition['type'];

/** Conditions whose `True` is the bad news. */
export const alarming: ReadonlySet<ConditionType> = new Set<ConditionType>(badConditions);

/** Replaces the condition of the same type; the transition time moves only when the status does. */
export function setCondition(
  conditions: readonly Condition[],
  next: Omit<Condition, 'lastTransitionTime'>,
  at: string,
): Condition[] {
  const before = conditions.find((known) => known.type === next.type);
  const lastTransitionTime = before?.status === next.status ? before.lastTransitionTime : at;
  return [...conditions.filter((known) => known.type !== next.type), { ...next, lastTransitionTime }];
}
