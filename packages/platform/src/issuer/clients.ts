import { randomBytes } from 'node:crypto';
import { SecretValue } from '@onbehalf/secret-value';
import type { JSONWebKeySet } from 'jose';
import type { Audit } from '../audit/index.ts';
import { hashOf, localAdmin, type PrincipalName } from '../people/index.ts';
import { type ClientRow, type Statement, type Store, StoreError } from '../store/index.ts';
import { CLI, CONSOLE } from './doors.ts';
import { IssuerError } from './error.ts';
import type { TokenClient } from './token-service/client-auth.ts';
import type { ClientGrant, ClientInput, Clients } from './types.ts';

const GRANTS: readonly ClientGrant[] = ['exchange', 'workload', 'introspect'];

const MOST_READ = 1_000;

/** What is in the row. A secret of 256 random bits needs no more than a hash. */
interface Spec extends ClientInput {
  secretHash?: string;
}

export function createClients(o: { store: Store; audit: Audit; builtIn: TokenClient; now: () => number }): Clients & {
  find(id: string): Promise<TokenClient | undefined>;
} {
  const { store, audit, builtIn, now } = o;
  const { builder } = store;
  /** Of the same row, the same object: its keys are imported once. */
  const read = new Map<string, { spec: string; client: TokenClient }>();
  const reserved = [builtIn.id, CONSOLE, CLI];

  const commit = (statement: Statement, id: string, by: PrincipalName, outcome: string) =>
    store.commit({
      statements: [statement],
      changes: [{ kind: 'Client', key: id, op: outcome === 'client added' ? 'put' : 'delete' }],
      audit: [
        audit.line({ type: 'change', phase: 'single', principal: by, target: { kind: 'Client', name: id }, outcome }),
      ],
    });

  return {
    async add(input, by = localAdmin) {
      const { id, grants, jwks } = input;
      const keys =
        jwks === undefined || (jwks.keys.length > 0 && jwks.keys.every((key) => !('d' in key || 'k' in key)));
      if (!/^[A-Za-z0-9._-]{1,128}$/.test(id) || reserved.includes(id) || !keys)
        throw new IssuerError('invalid_client', 'the id is not allowed, or the keys are not public ones');
      if (grants.length === 0 || !grants.every((grant) => GRANTS.includes(grant)))
        throw new IssuerError('invalid_client', 'the grants are exchange, workload and introspect');
      const secret = jwks === undefined ? randomBytes(32).toString('base64url') : undefined;
      const spec: Spec = { ...input, ...(secret && { secretHash: hashOf(secret) }) };
      const row = { id, spec: JSON.stringify(spec), secret_ref: null, created_at: now() };
      const query = builder.insertInto('clients').values(row).compile();
      try {
        await commit({ query, expect: 1, conflict: 'client_exists' }, id, by, 'client added');
      } catch (error) {
        if (!(error instanceof StoreError && error.conflict === 'client_exists')) throw error;
        throw new IssuerError('client_exists', 'there is a client of that id');
      }
      return { id, ...(secret && { secret: SecretValue.of(secret) }) };
    },
    async list() {
      const rows = await store.read<ClientRow>(builder.selectFrom('clients').selectAll().orderBy('id').compile());
      return rows.map(({ id, spec, created_at: at }) => {
        const { grants, agents } = JSON.parse(spec) as Spec;
        return { id, grants, ...(agents && { agents }), createdAt: new Date(Number(at)).toISOString() };
      });
    },
    async remove(id, by = localAdmin) {
      const query = builder.deleteFrom('clients').where('id', '=', id).compile();
      await commit({ query }, id, by, 'client removed');
    },
    async find(id) {
      if (id === builtIn.id) return builtIn;
      const query = builder.selectFrom('clients').selectAll().where('id', '=', id);
      const [row] = await store.read<ClientRow>(query.compile());
      if (row === undefined) return undefined;
      const known = read.get(id);
      if (known?.spec === row.spec) return known.client;
      const { grants, agents = [], jwks, secretHash } = JSON.parse(row.spec) as Spec;
      const client = {
        ...{ id, grants, agents },
        ...(jwks && { jwks: jwks as JSONWebKeySet }),
        ...(secretHash !== undefined && { secretHash }),
      };
      read.set(id, { spec: row.spec, client });
      if (read.size > MOST_READ) read.delete(read.keys().next().value ?? id);
      return client;
    },
  };
}
