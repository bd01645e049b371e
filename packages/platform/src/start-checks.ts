import { statSync } from 'node:fs';
import { isPublishedSecret, secretProblem } from '@onbehalf/access';
import type { Config } from './config.ts';
import { litellmBase } from './control/index.ts';
import type { Egress } from './egress/index.ts';
import { StartError } from './start-error.ts';
import type { Store } from './store/index.ts';
import { installationOf } from './vault/index.ts';

const RESTORE = 'restore a backup of it; to begin anew, move the database and the key file away together';

/** An installation that has begun is named in its key file: a database that is gone or empty beside it is not new. */
export function refuseEmptied(database: string, keyFile: string): string | undefined {
  const begun = installationOf(keyFile);
  const size = statSync(database, { throwIfNoEntry: false })?.size;
  if (begun !== undefined && (size === undefined || size === 0))
    throw new StartError(
      'store_lost',
      `${keyFile} belongs to the installation ${begun}, and its database ${database} ${size === 0 ? 'is empty' : 'is gone'}: ${RESTORE}`,
    );
  return begun;
}

/**
 * What is fixed at the first start: the installation's id, and the public URL, which is the issuer's name.
 * @param begun the installation that the key file names
 */
export async function fixedFacts(
  store: Store,
  publicUrl: string,
  begun: string | undefined,
): Promise<{ installation: string }> {
  const { builder } = store;
  const rows = await store.read<{ key: string; value: string }>(
    builder.selectFrom('meta').selectAll().where('key', 'in', ['installation', 'publicUrl']).compile(),
  );
  const known = (key: string) => rows.find((row) => row.key === key)?.value;
  const stored = known('installation');
  if (begun !== undefined && begun !== stored)
    throw new StartError(
      'store_lost',
      `the key file belongs to the installation ${begun}, and the database to ${stored ?? 'none'}: put back what belongs together: ${RESTORE}`,
    );
  const fixed = known('publicUrl');
  if (fixed !== undefined && fixed !== publicUrl)
    throw new StartError(
      'public_url_changed',
      `this installation is ${fixed}, not ${publicUrl}: start with ${flagFor(fixed)}, or with another data directory (ONBEHALF_DATA_DIR)`,
    );
  const installation = stored ?? crypto.randomUUID();
  const missing = [
    ...(known('installation') === undefined ? [{ key: 'installation', value: installation }] : []),
    ...(fixed === undefined ? [{ key: 'publicUrl', value: publicUrl }] : []),
  ];
  if (missing.length > 0)
    await store.commit({
      statements: missing.map((row) => ({ query: builder.insertInto('meta').values(row).compile(), expect: 1 })),
    });
  return { installation };
}

/** The first model that LiteLLM lists, or nothing while it cannot be reached. */
export async function listLitellmModels(egress: Egress, config: Config): Promise<string | undefined> {
  const key = config.secrets.litellmMasterKey;
  if (config.litellmBaseUrl === undefined || !key) return undefined;
  try {
    const response = await egress.fetch(`${litellmBase(config.litellmBaseUrl)}/models`, {
      headers: { authorization: `Bearer ${key.reveal()}` },
      limits: { connectMs: 2_000, firstByteMs: 5_000, totalMs: 5_000 },
    });
    const body = (await response.json()) as { data?: { id?: unknown }[] };
    const first = body.data?.[0]?.id;
    return typeof first === 'string' ? first : undefined;
  } catch {
    return undefined;
  }
}

/** Secrets from the environment that others know, for the person who started the server. */
export function secretWarnings({ secrets }: Config): string[] {
  const { litellmMasterKey, authJwtSecret, authJwtSecretPrevious } = secrets;
  const refused = Object.entries({ AUTH_JWT_SECRET: authJwtSecret, AUTH_JWT_SECRET_PREVIOUS: authJwtSecretPrevious });
  return [
    ...refused.flatMap(([name, secret]) => {
      const problem = secret && secretProblem(secret);
      return problem === undefined ? [] : [`WARNING: ${name}: ${problem}. Until then its tokens are refused.`];
    }),
    ...(litellmMasterKey && isPublishedSecret(litellmMasterKey)
      ? [
          'WARNING: LITELLM_MASTER_KEY is a published default: whoever reaches LiteLLM can use it. Set another one there.',
        ]
      : []),
  ];
}

/** What brings the server back to the name that it was given first. */
function flagFor(fixed: string): string {
  const { hostname, port } = new URL(fixed);
  return hostname === 'localhost' ? `--port ${port}` : `--public-url ${fixed}`;
}
