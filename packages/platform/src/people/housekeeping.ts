import type { Store } from '../store/index.ts';
import { denyKey } from './deny-list.ts';

const EVERY = 60_000;

/** Rows that have ended are deleted. Nothing relies on it: every reader looks at the end itself. */
export function keepHouse(o: {
  store: Store;
  now: () => number;
  work(): Promise<void>;
  onError(error: unknown): void;
}) {
  const { store, now } = o;
  const { builder } = store;

  async function sweep(): Promise<void> {
    const at = now();
    const ended = await store.read(builder.selectFrom('deny_list').selectAll().where('until', '<=', at).compile());
    const queries = [
      builder.deleteFrom('jtis').where('expires_at', '<=', at),
      builder.deleteFrom('tickets').where('expires_at', '<=', at),
      builder.deleteFrom('login_links').where('expires_at', '<=', at),
      builder.deleteFrom('login_sessions').where('expires_at', '<=', at),
      builder.deleteFrom('oidc_rows').where('expires_at', '<=', at),
      builder.deleteFrom('deny_list').where('until', '<=', at),
    ];
    await store.commit({
      statements: queries.map((query) => ({ query: query.compile() })),
      changes: ended.map(({ iss, claim, value }) => ({ kind: 'Deny', key: denyKey(iss, claim, value), op: 'delete' })),
    });
    await o.work();
  }

  const timer = setInterval(() => sweep().catch(o.onError), EVERY).unref();
  return { sweep, close: () => clearInterval(timer) };
}
