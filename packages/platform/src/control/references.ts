import {
  bindingsOf,
  DEFAULT_NAMESPACE,
  type Kind,
  kinds,
  modelConfigRefOf,
  type Reference,
  type Resource,
  type ResourceInput,
  secretReferencesIn,
} from '@onbehalf/resources';
import { namespaceOf, type Registry, type StoredResource } from '../store/index.ts';

/** One reference of a document to another resource. `verb`: what the writer needs on it. */
export interface ResourceReference {
  path: string;
  kind: Kind;
  namespace: string | undefined;
  name: string;
  verb: 'use' | 'run' | undefined;
  /** Another namespace is admitted by the target's `consumers` only. */
  crossesNamespace: boolean;
}

type AnyResource = Resource | ResourceInput;

/** Every reference that a document makes, in the order in which they are written. */
export function referencesOf(document: AnyResource): ResourceReference[] {
  const home = namespaceOf(document);
  const found: ResourceReference[] = secretsOf(document);
  const add = (path: string, kind: Kind, ref: Reference | undefined, verb: ResourceReference['verb']) => {
    if (!ref) return;
    const namespace = kinds[kind].namespaced ? (ref.namespace ?? (home || DEFAULT_NAMESPACE)) : undefined;
    found.push({
      path,
      kind,
      namespace,
      name: ref.name,
      verb,
      // A Grant uses nothing of its target: it takes `admin` on it, wherever that is.
      crossesNamespace: document.kind !== 'Grant' && namespace !== undefined && namespace !== home,
    });
  };
  if (document.kind === 'Agent') {
    add(
      `spec.${document.spec.type === 'BYO' ? 'byo' : 'declarative'}.modelConfigRef`,
      'ModelConfig',
      modelConfigRefOf(document.spec),
      'use',
    );
    const list = document.spec.type === 'BYO' ? 'byo' : 'declarative';
    bindingsOf(document.spec).forEach((binding, index) => {
      add(`spec.${list}.tools[${index}].mcpServer`, 'RemoteMCPServer', binding.mcpServer, 'use');
      add(`spec.${list}.tools[${index}].agent`, 'Agent', binding.agent, 'run');
    });
  } else if (document.kind === 'RemoteMCPServer') {
    const mode = document.spec.auth?.mode;
    if (mode === 'Exchange' || mode === 'Workload')
      add(
        'spec.auth.tokenServiceRef',
        'TokenService',
        document.spec.auth?.tokenServiceRef ?? { name: 'default' },
        undefined,
      );
  } else if (document.kind === 'Grant') {
    const { kind, name, namespace } = document.spec.on;
    if (kind !== undefined && name !== undefined && kind !== 'Budget')
      add('spec.on', kind, { name, ...(namespace !== undefined && { namespace }) }, undefined);
  }
  return found;
}

function secretsOf(document: AnyResource): ResourceReference[] {
  const home = namespaceOf(document);
  return secretReferencesIn(document).flatMap(({ path, ref }) => {
    if (ref.name === undefined) return [];
    const namespace = ref.namespace ?? (home || DEFAULT_NAMESPACE);
    const crossesNamespace = home !== '' && namespace !== home;
    return [{ path, kind: 'Secret' as const, namespace, name: ref.name, verb: 'use' as const, crossesNamespace }];
  });
}

export function resolve(registry: Registry, ref: ResourceReference): StoredResource | undefined {
  return registry.get(ref.kind, ref.namespace, ref.name) as StoredResource | undefined;
}

/** Why a reference that resolves may still not be used from another namespace. */
export function admission(
  ref: ResourceReference,
  target: StoredResource,
  from: { labels?: Record<string, string> },
): string | undefined {
  if (!ref.crossesNamespace) return undefined;
  if (ref.kind === 'Secret') return 'a Secret is used in its own namespace only';
  const consumers = 'consumers' in target.spec ? target.spec.consumers : undefined;
  if (consumers?.from === 'All') return undefined;
  const wanted = consumers?.from === 'Selector' ? Object.entries(consumers.selector?.matchLabels ?? {}) : [];
  if (wanted.length > 0 && wanted.every(([key, value]) => from.labels?.[key] === value)) return undefined;
  return `${ref.kind} ${ref.name} does not admit other namespaces: its owner can set \`consumers\``;
}
