import { z } from 'zod';

/** RFC 1123 label: what names and namespaces are made of. Dots are kept free for `namespace.name` addresses. */
export const dnsLabel = z
  .string()
  .regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, 'must be a DNS label: lower-case letters, digits and "-", at most 63');

export const reference = z.strictObject({ name: dnsLabel, namespace: dnsLabel.exactOptional() });
export type Reference = z.infer<typeof reference>;

/** Which schemas are references to Secrets: what has to find them in a document asks here. */
export const secretReferences = z.registry();

/** A Secret's key, or (administrators only) the environment, a file under an allowed prefix, a vault path. */
export const secretReference = z
  .strictObject({
    name: dnsLabel.exactOptional(),
    namespace: dnsLabel.exactOptional(),
    key: z.string().min(1).max(253).exactOptional(),
    env: z.string().min(1).exactOptional(),
    file: z.string().min(1).exactOptional(),
    vault: z.string().min(1).exactOptional(),
  })
  .refine((ref) => [ref.name, ref.env, ref.file, ref.vault].filter((source) => source !== undefined).length === 1, {
    message: 'must name exactly one source: {name, key}, {env}, {file} or {vault, key}',
  })
  .refine((ref) => (ref.name === undefined && ref.vault === undefined) || ref.key !== undefined, {
    message: 'needs `key`, the field of the Secret',
  })
  .register(secretReferences);
export type SecretReference = z.infer<typeof secretReference>;

/** The same from a cluster-scoped kind, which has no namespace of its own. */
export const clusterSecretReference = secretReference
  .refine((ref) => ref.name === undefined || ref.namespace !== undefined, {
    path: ['namespace'],
    message: 'is needed here: this kind is cluster-scoped, the Secret is not',
  })
  .register(secretReferences);

export const consumers = z.strictObject({
  from: z.enum(['Same', 'All', 'Selector']).exactOptional(),
  selector: z.strictObject({ matchLabels: z.record(z.string(), z.string()) }).exactOptional(),
});
export type Consumers = z.infer<typeof consumers>;

/** A length of time: `250ms`, `30s`, `10m`, `1h`, `90d`. */
export const duration = z.string().regex(/^[0-9]{1,6}(ms|s|m|h|d)$/, 'must be a duration such as 30s, 10m, 24h or 90d');

const UNIT_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** Milliseconds of a `duration`. */
export function milliseconds(value: string): number {
  const [, amount, unit] = /^([0-9]+)(ms|s|m|h|d)$/.exec(value) ?? [];
  if (amount === undefined || unit === undefined) throw new TypeError(`${value} is not a duration`);
  return Number(amount) * UNIT_MS[unit as keyof typeof UNIT_MS];
}

/** RFC 8707 section 2: a resource is an absolute URI without a fragment. The configured string is kept as it is. */
export const resourceUri = z.string().superRefine((value, context) => {
  if (!/^[A-Za-z][A-Za-z0-9+.-]*:\S+$/.test(value) || !URL.canParse(value))
    context.addIssue({ code: 'custom', message: 'must be an absolute URI (RFC 8707 section 2)' });
  else if (value.includes('#'))
    context.addIssue({
      code: 'custom',
      message: 'must have no fragment: remove everything from "#" (RFC 8707 section 2)',
    });
});

export const httpUrl = z.string().superRefine((value, context) => {
  const url = URL.canParse(value) ? new URL(value) : undefined;
  if (!url || (url.protocol !== 'https:' && url.protocol !== 'http:'))
    context.addIssue({ code: 'custom', message: 'must be an absolute https:// or http:// URL' });
  else if (url.username !== '' || url.password !== '')
    context.addIssue({ code: 'custom', message: 'must hold no user name or password: refer to a Secret instead' });
  else if (url.hash !== '') context.addIssue({ code: 'custom', message: 'must have no fragment' });
});

/** Where credentials of people are sent: never in the clear over a network. */
export const credentialUrl = httpUrl.refine(
  (value) => !/^http:/i.test(value) || /^http:\/\/(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?(\/|$)/i.test(value),
  { message: 'must be an https:// URL, or http:// on loopback' },
);

export const audienceValue = z.string().min(1).max(2_048);
export const scopeValue = z
  .string()
  .regex(/^[\x21\x23-\x5b\x5d-\x7e]+$/, 'must be one scope token without spaces (RFC 6749 section 3.3)');

/** What an exchanged token is for. Absent lists inherit, empty ones clear. */
export const targetFields = {
  audience: z.array(audienceValue).exactOptional(),
  resource: z.array(resourceUri).exactOptional(),
  scopes: z.array(scopeValue).exactOptional(),
};
export const targetOverride = z.strictObject(targetFields);
export type TargetOverride = z.infer<typeof targetOverride>;

export const tls = z.strictObject({
  caRef: secretReference.exactOptional(),
  clientCertRef: secretReference.exactOptional(),
});
