import type { Kind, Resource, ResourceOf } from '@onbehalf/resources';
import { kindNames } from '@onbehalf/resources';
import { StoreError } from './error.ts';
import { prepared } from './prepared.ts';
import { namespaceOf, type StoredResource, toResource, toRow } from './resource-rows.ts';
import { inSlices } from './slices.ts';
import type { ResourceRow } from './tables.ts';
import type { Statement, Store } from './unit.ts';
import { untilRead } from './watch.ts';

export type Stored<K extends Kind> = ResourceOf<K> & { readonly writer: StoredResource['writer'] };

/** Every resource in memory, following the change log. Reads are synchronous and see only what is durable. */
export interface Registry {
  get<K extends Kind>(kind: K, namespace: string | undefined, name: string): Stored<K> | undefined;
  byUid(uid: string): StoredResource | undefined;
  list<K extends Kind>(kind: K): Stored<K>[];
  all(): Iterable<StoredResource>;
  /** Moves with every change that has been taken over. */
  revision(): number;
  /** Resolves when the registry holds at least this revision of the change log. */
  settled(revision: number): Promise<void>;
  onChange(listener: (changed: ReadonlySet<string>) => void): () => void;
  /** Writes `status` alone: the generation stays, a concurrent write is tried again. */
  updateStatus<K extends Kind>(
    uid: string,
    change: (status: ResourceOf<K>['status'], resource: ResourceOf<K>) => ResourceOf<K>['status'],
  ): Promise<void>;
  /**
   * The same for many, in units of so many that nobody waits long. One that somebody else wrote meanwhile is tried again
   * alone.
   */
  updateStatuses(changes: ReadonlyMap<string, StatusChange>): Promise<void>;
  close(): void;
}

type StatusChange = (status: StoredResource['status'], resource: StoredResource) => StoredResource['status'];

const STATUS_UNIT = 50;
const READ_AT_ONCE = 50;

const KINDS: ReadonlySet<string> = new Set(kindNames);
const STATUS_TRIES = 5;

export async function createRegistry(store: Store, now: () => number = Date.now): Promise<Registry> {
  const byUid = new Map<string, StoredResource>();
  const byName = new Map<string, StoredResource>();
  const byKind = new Map<string, Map<string, StoredResource>>(kindNames.map((kind) => [kind, new Map()]));
  const listeners = new Set<(changed: ReadonlySet<string>) => void>();
  let revision = store.revision();
  let following = load();

  const nameKey = (kind: string, namespace: string, name: string) => `${kind}/${namespace}/${name}`;
  function remove(uid: string) {
    const known = byUid.get(uid);
    if (!known) return;
    byUid.delete(uid);
    byKind.get(known.kind)?.delete(uid);
    const key = nameKey(known.kind, namespaceOf(known), known.metadata.name);
    if (byName.get(key)?.metadata.uid === uid) byName.delete(key);
  }
  function insert(resource: StoredResource) {
    const { kind, metadata } = resource;
    remove(metadata.uid);
    byUid.set(metadata.uid, resource);
    byKind.get(kind)?.set(metadata.uid, resource);
    byName.set(nameKey(kind, namespaceOf(resource), metadata.name), resource);
  }
  async function load() {
    const rows = await store.read<ResourceRow>(store.builder.selectFrom('resources').selectAll().compile());
    for (const row of rows) insert(toResource(row));
  }
  /** Read in parts, and taken over in one step: nobody sees half of a revision. */
  async function follow(uids: ReadonlySet<string>, upTo: number) {
    const wanted = [...uids];
    const found: StoredResource[] = [];
    const breathe = inSlices();
    for (let at = 0; at < wanted.length; at += READ_AT_ONCE) {
      const part = wanted.slice(at, at + READ_AT_ONCE);
      const query = store.builder.selectFrom('resources').selectAll().where('uid', 'in', part);
      found.push(...(await store.read<ResourceRow>(query.compile())).map(toResource));
      await breathe();
    }
    const there = new Set(found.map(({ metadata }) => metadata.uid));
    for (const uid of wanted) if (!there.has(uid)) remove(uid);
    for (const resource of found) insert(resource);
    revision = upTo;
    if (wanted.length > 0) for (const listener of listeners) listener(uids);
  }

  const watch = store.watch(revision, (changes) => {
    const uids = new Set(changes.filter((change) => KINDS.has(change.kind)).map((change) => change.key));
    const upTo = changes.at(-1)?.revision ?? revision;
    following = following.then(() => untilRead(() => follow(uids, upTo)));
  });
  await following;

  /** What would be written; undefined where nothing changes. */
  function nextStatus(uid: string, change: StatusChange): { before: StoredResource; next: Resource } | undefined {
    const before = byUid.get(uid);
    const status = before && change(before.status, before);
    if (status === undefined || JSON.stringify(status) === JSON.stringify(before?.status)) return undefined;
    const next = { ...before, status, metadata: nextVersion(before as StoredResource, now()) } as Resource;
    return { before: before as StoredResource, next };
  }

  async function write(written: readonly { before: StoredResource; next: Resource }[]): Promise<void> {
    const { revision: done } = await store.commit({
      statements: written.map(({ before, next }) => replaceResource(store, next, before)),
      changes: written.map(({ before }) => ({ kind: before.kind, key: before.metadata.uid, op: 'put' })),
    });
    await registry.settled(done);
  }

  const registry: Registry = {
    get: (kind, namespace, name) =>
      byName.get(
        nameKey(kind, namespaceOf({ kind, metadata: namespace === undefined ? {} : { namespace } }), name),
      ) as never,
    byUid: (uid) => byUid.get(uid),
    list: (kind) => [...(byKind.get(kind)?.values() ?? [])] as never,
    all: () => byUid.values(),
    revision: () => revision,
    async settled(wanted) {
      while (revision < wanted) {
        await following;
        if (revision < wanted) await new Promise((resolve) => setImmediate(resolve));
      }
    },
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    async updateStatus(uid, change) {
      for (let attempt = 1; ; attempt++) {
        const next = nextStatus(uid, change as never);
        if (next === undefined) return;
        try {
          return await write([next]);
        } catch (error) {
          if (!isConflict(error) || attempt === STATUS_TRIES) throw error;
          await registry.settled(store.revision());
        }
      }
    },
    async updateStatuses(changes) {
      const uids = [...changes.keys()];
      for (let at = 0; at < uids.length; at += STATUS_UNIT) {
        const unit = uids.slice(at, at + STATUS_UNIT);
        const changeOf = (uid: string) => changes.get(uid) ?? ((status: StoredResource['status']) => status);
        try {
          const written = unit.flatMap((uid) => nextStatus(uid, changeOf(uid)) ?? []);
          if (written.length === 0) await new Promise((resolve) => setImmediate(resolve));
          else await write(written);
        } catch (error) {
          if (!isConflict(error)) throw error;
          await registry.settled(store.revision());
          for (const uid of unit) await registry.updateStatus(uid, changeOf(uid) as never);
        }
      }
    },
    close() {
      watch.close();
      listeners.clear();
    },
  };
  return registry;
}

const isConflict = (error: unknown) => error instanceof StoreError && error.conflict === 'resource_version';

/** The metadata of the next version: the generation moves only when the spec does. */
export function nextVersion(before: Resource, at: number, specChanged = false): Resource['metadata'] {
  return {
    ...before.metadata,
    generation: before.metadata.generation + (specChanged ? 1 : 0),
    resourceVersion: String(Number(before.metadata.resourceVersion) + 1),
    updatedAt: new Date(at).toISOString(),
  };
}

const inserted = prepared((builder, row: ResourceRow) => builder.insertInto('resources').values(row));

/** The precondition `resource_exists` fails when the name was taken meanwhile. */
export function insertResource(store: Store, resource: Resource, writer: StoredResource['writer']): Statement {
  return {
    query: inserted(store.builder, toRow(resource, writer)),
    expect: 1,
    conflict: 'resource_exists',
  };
}

const replaced = prepared((builder, { uid, before, ...columns }: ResourceRow & { before: number }) =>
  builder.updateTable('resources').set(columns).where('uid', '=', uid).where('resource_version', '=', before),
);

/** The precondition `resource_version` fails when somebody else wrote first. */
export function replaceResource(
  store: Store,
  next: Resource,
  before: StoredResource,
  writer = before.writer,
): Statement {
  const { uid, resourceVersion } = before.metadata;
  return {
    query: replaced(store.builder, { ...toRow(next, writer), uid, before: Number(resourceVersion) }),
    expect: 1,
    conflict: 'resource_version',
  };
}

export function deleteResource(store: Store, before: StoredResource): Statement {
  return {
    query: store.builder
      .deleteFrom('resources')
      .where('uid', '=', before.metadata.uid)
      .where('resource_version', '=', Number(before.metadata.resourceVersion))
      .compile(),
    expect: 1,
    conflict: 'resource_version',
  };
}
