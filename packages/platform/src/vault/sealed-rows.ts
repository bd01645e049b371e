import type { Reader, SealedRow, Statement } from '../store/index.ts';

/** Kind of the vault's own rows; no resource has it. */
export const own = 'Vault';
export const rootPlace = { kind: own, uid: 'root', field: 'key', version: 1 } as const;

export interface Where {
  kind: string;
  uid: string;
  field: string;
}

// The version in use and two before it: what an overlap needs. Refresh tokens would otherwise add up.
const kept = 3;

/** The queries over `sealed`. */
export const sealedRows = (store: Reader) => {
  const { builder } = store;
  const all = () => builder.selectFrom('sealed').selectAll();
  const at = ({ kind, uid, field }: Where) =>
    all().where('kind', '=', kind).where('uid', '=', uid).where('field', '=', field).orderBy('version', 'desc');
  const put = (row: SealedRow) => builder.insertInto('sealed').values(row).compile();

  return {
    async latest(where: Where, version?: number): Promise<SealedRow | undefined> {
      const query = version === undefined ? at(where) : at(where).where('version', '=', version);
      return (await store.read(query.limit(1).compile()))[0];
    },
    async count(): Promise<number> {
      const query = builder.selectFrom('sealed').select(({ fn }) => fn.countAll<number>().as('rows'));
      return Number((await store.read(query.compile()))[0]?.rows ?? 0);
    },
    ofUid: (kind: string, uid: string): Promise<SealedRow[]> =>
      store.read(all().where('kind', '=', kind).where('uid', '=', uid).orderBy('field').orderBy('version').compile()),
    /** In the order of the primary key, after a row. */
    wrappedBy(keyId: string, after: SealedRow | undefined): Promise<SealedRow[]> {
      const query = all()
        .where('key_id', '=', keyId)
        .orderBy('kind')
        .orderBy('uid')
        .orderBy('field')
        .orderBy('version');
      if (after === undefined) return store.read(query.limit(100).compile());
      const { kind, uid, field, version } = after;
      return store.read(
        query
          .where((e) => e(e.refTuple('kind', 'uid', 'field', 'version'), '>', e.tuple(kind, uid, field, version)))
          .limit(100)
          .compile(),
      );
    },
    /** The key ids that anything is wrapped with. */
    async keyIds(): Promise<string[]> {
      const query = builder.selectFrom('sealed').select('key_id').distinct().compile();
      return (await store.read(query)).map((row) => row.key_id);
    },
    putRoot: (row: SealedRow): Statement[] => [{ query: put(row), expect: 1, conflict: 'vault_exists' }],
    /** A new version. It is refused if the wrapping key was replaced since, or another version came first. */
    put(row: SealedRow): Statement[] {
      const root = all().where('kind', '=', own).where('uid', '=', rootPlace.uid).where('key_id', '=', row.key_id);
      const old = builder.deleteFrom('sealed').where('kind', '=', row.kind).where('uid', '=', row.uid);
      return [
        { query: root.compile(), expect: 1, conflict: 'key_rotated' },
        { query: put(row), expect: 1, conflict: 'secret_changed' },
        {
          query: old
            .where('field', '=', row.field)
            .where('version', '<=', row.version - kept)
            .compile(),
        },
      ];
    },
    /** Only if the row is still what was read. */
    replace(row: SealedRow, keyId: string, envelope: string): Statement {
      const query = builder
        .updateTable('sealed')
        .set({ key_id: keyId, envelope })
        .where('kind', '=', row.kind)
        .where('uid', '=', row.uid)
        .where('field', '=', row.field)
        .where('version', '=', row.version)
        .where('envelope', '=', row.envelope);
      return { query: query.compile() };
    },
    remove: (kind: string, uid: string): Statement[] => [
      { query: builder.deleteFrom('sealed').where('kind', '=', kind).where('uid', '=', uid).compile() },
    ],
  };
};

export type SealedRows = ReturnType<typeof sealedRows>;
