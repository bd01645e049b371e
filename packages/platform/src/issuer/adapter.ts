import { SecretValue } from '@onbehalf/secret-value';
import { type Adapter, type AdapterPayload, errors } from 'oidc-provider';
import { hashOf } from '../people/index.ts';
import { type OidcRow, type Store, StoreError } from '../store/index.ts';
import type { Vault } from '../vault/index.ts';

/**
 * oidc-provider's rows: every id is hashed, every payload sealed to its row, because codes and refresh tokens are both.
 */
export function adapterFactory({ store, vault, now }: { store: Store; vault: Vault; now: () => number }) {
  const { builder } = store;

  return (model: string): Adapter => {
    const place = (idHash: string) => ({ kind: 'OidcRow', uid: idHash, field: model });
    const open = (row: OidcRow | undefined): AdapterPayload | undefined => {
      if (row === undefined || (row.expires_at !== null && Number(row.expires_at) <= now())) return undefined;
      const payload = JSON.parse(vault.openInline(place(row.id_hash), row.payload).reveal()) as AdapterPayload;
      return row.consumed_at === null ? payload : { ...payload, consumed: Math.floor(Number(row.consumed_at) / 1000) };
    };
    const rows = () => builder.selectFrom('oidc_rows').selectAll().where('model', '=', model);
    const findBy = async (column: 'id_hash' | 'uid' | 'user_code', value: string) =>
      open((await store.read<OidcRow>(rows().where(column, '=', hashOf(value)).compile()))[0]);
    const of = (id: string) => [model, hashOf(id)] as const;

    return {
      async upsert(id, payload, expiresIn) {
        const idHash = hashOf(id);
        const row = {
          grant_id: payload.grantId === undefined ? null : hashOf(payload.grantId),
          uid: payload.uid === undefined ? null : hashOf(payload.uid),
          user_code: payload.userCode === undefined ? null : hashOf(payload.userCode),
          payload: vault.sealInline(place(idHash), SecretValue.of(JSON.stringify(payload))),
          expires_at: expiresIn === undefined ? null : now() + expiresIn * 1000,
        };
        const query = builder
          .insertInto('oidc_rows')
          .values({ model, id_hash: idHash, consumed_at: null, ...row })
          .onConflict((conflict) => conflict.columns(['model', 'id_hash']).doUpdateSet(row));
        await store.commit({ statements: [{ query: query.compile() }] });
      },
      find: (id) => findBy('id_hash', id),
      findByUid: (uid) => findBy('uid', uid),
      findByUserCode: (code) => findBy('user_code', code),
      async consume(id) {
        const [, idHash] = of(id);
        const query = builder
          .updateTable('oidc_rows')
          .set({ consumed_at: now() })
          .where('model', '=', model)
          .where('id_hash', '=', idHash)
          .where('consumed_at', 'is', null);
        try {
          await store.commit({ statements: [{ query: query.compile(), expect: 1, conflict: 'consumed' }] });
        } catch (error) {
          // Two requests with one code: the row decides which of them was first.
          if (error instanceof StoreError && error.conflict === 'consumed')
            throw new errors.InvalidGrant('already used');
          throw error;
        }
      },
      async destroy(id) {
        const [, idHash] = of(id);
        const query = builder.deleteFrom('oidc_rows').where('model', '=', model).where('id_hash', '=', idHash);
        await store.commit({ statements: [{ query: query.compile() }] });
      },
      async revokeByGrantId(grantId) {
        const query = builder.deleteFrom('oidc_rows').where('grant_id', '=', hashOf(grantId));
        await store.commit({ statements: [{ query: query.compile() }] });
      },
    };
  };
}
