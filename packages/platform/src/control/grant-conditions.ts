import type { Condition } from '@onbehalf/resources';
import { issuersOf } from '../policy/index.ts';
import type { Registry, Stored } from '../store/index.ts';
import { isOrphaned } from './grants.ts';
import type { ControlPorts } from './ports.ts';
import { referencesOf, resolve } from './references.ts';

type Set = (type: Condition['type'], status: boolean, reason: string, message: string) => void;

/** Whether a Grant gives somebody something at this moment, and if not, why. */
export function grantConditions(
  { registry, people, embedded, now }: Pick<ControlPorts, 'people' | 'embedded' | 'now'> & { registry: Registry },
  grant: Stored<'Grant'>,
  set: Set,
): void {
  const orphaned = isOrphaned(grant, registry);
  const [target] = referencesOf(grant);
  const successor = orphaned && target ? resolve(registry, target) : undefined;
  set(
    'AgentReplaced',
    successor !== undefined,
    successor ? 'MadeAgain' : 'Same',
    successor
      ? `what it was bound to is gone, and another ${successor.kind} has its name: onbehalf confirm grant/${grant.metadata.name}, or apply --rebind, binds it to that`
      : 'what it is bound to is what it was bound to first',
  );
  const problem = orphaned
    ? successor
      ? ([
          'AgentReplaced',
          'what it was bound to was made again under its name: it gives nothing until it is confirmed',
        ] as const)
      : (['TargetGone', 'what it was bound to is gone: it gives nothing'] as const)
    : grant.spec.on.kind !== undefined && grant.status.targetUid === undefined
      ? ([
          'WaitsForReferences',
          `there is no ${grant.spec.on.kind} ${grant.spec.on.name}: it gives nothing yet`,
        ] as const)
      : (granteeProblem(grant.spec.to, registry, people, embedded.issuer) ??
        (grant.spec.expiresAt !== undefined && Date.parse(grant.spec.expiresAt) <= now()
          ? (['Expired', `it ended at ${grant.spec.expiresAt}`] as const)
          : undefined));
  set('Ready', problem === undefined, problem?.[0] ?? 'Ready', problem?.[1] ?? 'it gives what it says');
}

function granteeProblem(
  { principal, group, everyone }: Stored<'Grant'>['spec']['to'],
  registry: Registry,
  people: ControlPorts['people'],
  embedded: string,
): readonly [reason: string, message: string] | undefined {
  const issuer = principal?.issuer ?? group?.issuer ?? everyone?.issuer;
  if (issuer === undefined || issuer === 'local') return undefined;
  if (issuer !== embedded && !trusts(registry, issuer))
    return ['IssuerNotTrusted', `no TrustedIssuer is ${issuer}: nobody comes with a token of it`];
  if (principal && issuer === embedded && !people.knows(issuer, principal.subject))
    return ['NobodyThere', `this server has no user ${principal.subject}: onbehalf user create ${principal.subject}`];
  return undefined;
}

const trusts = (registry: Registry, issuer: string): boolean =>
  registry.list('TrustedIssuer').some((trusted) => issuersOf(trusted).includes(issuer));
