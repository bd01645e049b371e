import type { Principal } from '@onbehalf/access';
import { type ApplyResult, type Condition, type Kind, parseDocuments } from '@onbehalf/resources';
import { ControlError, createControl, type WriteOptions } from '../../src/control/index.ts';
import { createUsers, followPrincipals, LOCAL_ADMIN } from '../../src/people/index.ts';
import { createPolicy } from '../../src/policy/index.ts';
import { createRegistry } from '../../src/store/index.ts';
import { vaultFixture } from '../vault/fixture.ts';

export const ISSUER = 'http://localhost:8484';
export const OTHER = 'https://office.example';

/** A real store, vault, audit and policy below control; alice, bob, an auditor and an administrator of this server. */
export async function controlFixture(options: Parameters<typeof vaultFixture>[0] = {}) {
  const base = await vaultFixture(options);
  const { store, vault, audit } = base;
  const clock = { ahead: 0 };
  const now = () => Date.now() + clock.ahead;
  const registry = await createRegistry(store, now);
  const principals = await followPrincipals(store);
  const users = createUsers({ store, audit, principals, now, issuer: ISSUER });
  for (const [subject, role] of [
    ['alice', 'REGULAR'],
    ['bob', 'REGULAR'],
    ['ada', 'ADMIN'],
    ['audrey', 'AUDITOR'],
    ['rita', 'RESTRICTED'],
  ] as const)
    await users.create({ subject, role });
  const policy = createPolicy({ registry, principals, issuer: ISSUER, now });
  const errors: unknown[] = [];
  const control = createControl({
    ...{ store, vault, audit, registry, policy, now },
    embedded: { issuer: ISSUER, doorAudiences: [`${ISSUER}/api`, `${ISSUER}/mcp`] },
    people: { knows: (iss, sub) => principals.lookup(iss, sub) !== undefined, onChange: principals.onChange },
    onError: (error) => errors.push(error),
  });
  const person = (subject: string): Principal => policy.principalOf({ issuer: ISSUER, subject });
  const writer = (who: string) => ({
    principal: who === 'local' ? LOCAL_ADMIN : person(who),
    address: '192.0.2.1',
  });

  /** As `POST /api/apply` does it: documents of YAML, with one person's verbs. */
  async function apply(who: string, yaml: string, more: WriteOptions = {}): Promise<ApplyResult> {
    const { documents, errors: mistakes } = parseDocuments(yaml, more.source ?? 'test.yaml');
    if (mistakes.length > 0) throw new Error(JSON.stringify(mistakes));
    return control.write(writer(who), documents, { requestId: 'r1', ...more });
  }

  return {
    ...{
      folder: base.folder,
      store,
      vault,
      audit,
      registry,
      principals,
      users,
      policy,
      control,
      clock,
      now,
      errors,
      apply,
      person,
      writer,
    },
    /** Why a write was refused: the code, and each mistake as `path: message`. */
    async refusal(who: string, yaml: string, more: WriteOptions = {}): Promise<[code: string, ...mistakes: string[]]> {
      try {
        await apply(who, yaml, more);
      } catch (error) {
        if (!(error instanceof ControlError)) throw error;
        return [error.code, ...(error.errors ?? []).map(({ path, message }) => `${path}: ${message}`)];
      }
      return ['written'];
    },
    get<K extends Kind>(kind: K, name: string, namespace?: string) {
      const found = registry.get(kind, namespace, name);
      if (found === undefined) throw new Error(`no ${kind} ${name}`);
      return found;
    },
    /** As it is now, once everything that follows from other resources has been looked at. */
    async condition(kind: Kind, name: string, type: Condition['type'], namespace?: string) {
      await control.reconcile();
      const { conditions } = this.get(kind, name, namespace).status;
      const found = conditions?.find((one) => one.type === type);
      return found && [found.status, found.reason, found.message];
    },
    async remove(who: string, kind: Kind, name: string, namespace?: string) {
      const found = registry.byUid(this.get(kind, name, namespace).metadata.uid);
      if (found) await control.remove(writer(who), found, 'r2');
    },
    async [Symbol.asyncDispose]() {
      control.close();
      policy.close();
      principals.close();
      registry.close();
      await base[Symbol.asyncDispose]();
    },
  };
}

export type ControlFixture = Awaited<ReturnType<typeof controlFixture>>;

/** One document in one line. */
export const doc = (kind: Kind, name: string, spec: string, namespace?: string) =>
  `apiVersion: onbehalf.dev/v1alpha1\nkind: ${kind}\nmetadata: {name: ${name}${namespace === undefined ? '' : `, namespace: ${namespace}`}}\nspec: ${spec}\n`;

export const docs = (...all: string[]) => all.join('---\n');

export const grant = (name: string, to: string, on: string, verbs: string, more = '', namespace?: string) =>
  doc('Grant', name, `{to: ${to}, on: ${on}, verbs: [${verbs}]${more}}`, namespace);

export const toPerson = (subject: string, issuer = ISSUER) => `{principal: {issuer: "${issuer}", subject: ${subject}}}`;

/** Waits for what comes by itself; a test that waits in vain fails. */
export async function until(ready: () => boolean): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!ready()) {
    if (performance.now() > deadline) throw new Error('waited in vain');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
