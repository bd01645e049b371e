/**
 * Configuration: file and environment become one validated object, with every mistake reported at once before anything
 * is opened. It may use the resource nouns and secret values. Nobody else in the platform reads the environment.
 */
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { exchangeProfiles, milliseconds, nearest, roles } from '@onbehalf/resources';
import { SecretValue } from '@onbehalf/secret-value';
import { parse } from 'yaml';
import { z } from 'zod';

const LOOPBACK = /^(localhost|127\.\d+\.\d+\.\d+|\[?::1\]?)$/;

const port = z.coerce.number().int().min(0).max(65_535);
const cidr = z.string().refine((block) => {
  const [address = '', prefix = '', ...rest] = block.split('/');
  const bits = { 0: -1, 4: 32, 6: 128 }[isIP(address)] ?? -1;
  return rest.length === 0 && /^\d{1,3}$/.test(prefix) && Number(prefix) <= bits;
}, 'must be a CIDR block such as 10.0.0.0/8');
const boolean = z.union([z.boolean(), z.enum(['true', 'false']).transform((word) => word === 'true')]);
const commaList = z.union([
  z.array(z.string()),
  z.string().transform((text) => text.split(',').map((item) => item.trim())),
]);

const time = (value: string) =>
  z
    .string()
    .regex(/^[0-9]{1,6}(ms|s|m|h)$/, 'must be a duration such as 500ms, 5s or 1m')
    .default(value)
    .transform(milliseconds);
const within = (least: string, most: string, schema: ReturnType<typeof time>) =>
  schema.refine((value) => value >= milliseconds(least) && value <= milliseconds(most), {
    message: `must be from ${least} to ${most}`,
  });

/** As the exchange client takes it: tokens and a client secret go there. */
function secure(value: string): boolean {
  const url = new URL(value);
  return url.protocol === 'https:' || (url.protocol === 'http:' && LOOPBACK.test(url.hostname));
}

const budget = (value: number, about: string) => ({
  schema: z.number().int().min(1).max(10_000_000).default(value),
  about: `${about} (${value})`,
});

/** Settings that stand together in the file, below one name, and have no variables. */
export const sections = {
  limits: {
    turnsRunning: budget(20, 'turns of one person that run at once'),
    turnsStarted: budget(600, 'turns that one person starts in a minute'),
    sessionsMade: budget(60, 'conversations that one person begins in a minute'),
    sessionsKept: budget(10_000, 'conversations of one person that are kept'),
    sockets: budget(50, 'WebSockets of one person that are open at once'),
    streams: budget(50, 'event streams of one person that are open at once'),
    handshakes: budget(200, 'WebSocket handshakes of one address that are under way'),
    tickets: budget(60, 'tickets that one person gets in a minute'),
    trials: budget(60, 'exchanges that one person tries by hand in a minute'),
    applies: budget(60, 'writes of resources by one person in a minute'),
    documents: {
      schema: z.number().int().min(1).max(2_000).default(2_000),
      about: 'documents in one apply, 2,000 at most (2000)',
    },
    passwordsOfName: budget(10, 'passwords that one address tries for one name in a minute'),
    passwords: budget(30, 'passwords that one address tries in a minute'),
    tokenRefusalsOfClient: budget(10, 'refused token requests of one address for one client in a minute'),
    tokenRefusals: budget(30, 'refused token requests of one address in a minute'),
    exchanges: budget(6_000, 'token requests of one client for one person in a minute, at the embedded token service'),
    signIns: budget(100, 'sign-ins that one address begins in ten minutes'),
  },
  tokenExchange: {
    cacheEntries: {
      schema: z.number().int().min(1).max(1_000_000).default(8_192),
      about: 'exchanged tokens in memory, for each token service; the one used longest ago goes first (8192)',
    },
    tryTimeout: {
      schema: within('100ms', '1m', time('5s')),
      about: 'for one request to a token service (5s)',
    },
    timeout: {
      schema: within('100ms', '5m', time('10s')),
      about: 'for an exchange with its retries; not less than tryTimeout (10s)',
    },
    safetyMargin: {
      schema: within('0s', '5m', time('15s')),
      about: 'a cached token is not used any more when this much of its life is left (15s)',
    },
    revoke: {
      schema: z.boolean().default(true),
      about:
        'end tokens at the token service (RFC 7009) when their session, login, person, agent or server does (true)',
    },
  },
  legacy: {
    maxRole: {
      schema: z.enum(roles).default('REGULAR'),
      about: 'what a token signed with AUTH_JWT_SECRET can make of anyone at most (REGULAR)',
    },
    mintSubject: {
      schema: z.boolean().default(false),
      about: 'make a token of their own for its people, so that they can use tools with mode Exchange (false)',
    },
    lowercaseSecret: {
      schema: z.boolean().default(false),
      about: 'the software that signs lower-cased the secret first (false)',
    },
  },
} as const;

/** The typed registry of every setting: its place in the file, its variable, its default, and what it is for. */
export const settings = {
  port: { env: ['ONBEHALF_PORT', 'PORT'], schema: port.default(8484), about: 'TCP port of the API and the console' },
  host: {
    env: ['ONBEHALF_HOST'],
    schema: z.string().min(1).default('127.0.0.1'),
    about: 'address to listen on; anything but loopback needs TLS or a trusted proxy',
  },
  publicUrl: {
    env: ['ONBEHALF_PUBLIC_URL'],
    schema: z.url().optional(),
    about: 'name of the issuer; fixed at the first start',
  },
  dataDir: {
    env: ['ONBEHALF_DATA_DIR'],
    schema: z.string().min(1).optional(),
    about: 'where the store, the key file and the administration socket are',
  },
  keyFile: {
    env: ['ONBEHALF_KEY_FILE'],
    schema: z.string().min(1).optional(),
    about: 'key-encryption key, mode 0600; default: key in the data directory',
  },
  trustedProxies: {
    env: ['ONBEHALF_TRUSTED_PROXIES'],
    schema: commaList.pipe(z.array(cidr)).default([]),
    about: 'networks whose X-Forwarded headers are believed',
  },
  privateNetworks: {
    env: ['ONBEHALF_PRIVATE_NETWORKS'],
    schema: commaList.pipe(z.array(cidr)).default([]),
    about: 'private networks that registered servers may be in',
  },
  modelsEnabled: {
    env: ['ONBEHALF_MODELS_ENABLED'],
    schema: boolean.default(true),
    about: 'false switches every model call off',
  },
  logLevel: {
    env: ['ONBEHALF_LOG_LEVEL'],
    schema: z.enum(['debug', 'info', 'warn', 'error', 'silent']).default('info'),
    about: 'how much is logged',
  },
  allowedFilePrefixes: {
    env: ['ONBEHALF_ALLOWED_FILES'],
    schema: commaList.default([]),
    about: 'folders that `file:` references may read',
  },
  auditWitness: {
    env: ['ONBEHALF_AUDIT_WITNESS'],
    schema: z.string().min(1).optional(),
    about:
      'file outside the data directory that keeps the latest checkpoints of the audit, or none (onbehalf/witness/INSTALLATION.jsonl in $XDG_STATE_HOME, else in ~/.local/state)',
  },
  litellmBaseUrl: {
    env: ['LITELLM_BASE_URL'],
    schema: z.url().optional(),
    about: 'makes the ModelConfig `default` (with LITELLM_MASTER_KEY)',
  },
  litellmModel: {
    env: ['LITELLM_MODEL'],
    schema: z.string().min(1).optional(),
    about: 'its model; default: the first that LiteLLM lists',
  },
  stsWellKnownUri: {
    env: ['STS_WELL_KNOWN_URI'],
    schema: z.url({ abort: true }).refine(secure, 'must be https://, or http:// on this machine').optional(),
    about: 'defines the TokenService `default`',
  },
  stsProfile: {
    env: ['ONBEHALF_STS_PROFILE'],
    schema: z.enum(exchangeProfiles).default('rfc8693'),
    about: 'its dialect',
  },
  stsClientId: {
    env: ['ONBEHALF_STS_CLIENT_ID'],
    schema: z.string().min(1).optional(),
    about: 'the client that we are there; its secret: ONBEHALF_STS_CLIENT_SECRET',
  },
  basePath: {
    env: ['ONBEHALF_BASE_PATH'],
    schema: z.literal('/').default('/'),
    about: 'reserved for serving below a path',
  },
} as const;

/** Secrets come from the environment or by `fromEnv` and `fromFile`, and are never part of the printed configuration. */
const secretSettings = {
  litellmMasterKey: ['LITELLM_MASTER_KEY'],
  authJwtSecret: ['AUTH_JWT_SECRET'],
  authJwtSecretPrevious: ['AUTH_JWT_SECRET_PREVIOUS'],
  stsClientSecret: ['ONBEHALF_STS_CLIENT_SECRET'],
} as const;

type Name = keyof typeof settings;
type Values = { [K in Name]: z.infer<(typeof settings)[K]['schema']> };
type Sections = {
  [S in keyof typeof sections]: {
    -readonly [K in keyof (typeof sections)[S]]: (typeof sections)[S][K] extends { schema: infer T extends z.ZodType }
      ? z.infer<T>
      : never;
  };
};
type Secrets = { -readonly [K in keyof typeof secretSettings]?: SecretValue };
export type ConfigSource = 'flag' | 'environment' | 'file' | 'default';

export type Config = Omit<Values, 'publicUrl' | 'dataDir' | 'keyFile'> &
  Sections & {
    publicUrl: string;
    dataDir: string;
    keyFile: string;
    /** Where this user keeps state; nothing where the environment names no home. */
    stateDir: string | undefined;
    /** Private to this user while they are signed in, on systems that have it. */
    runtimeDir: string | undefined;
    secrets: Secrets;
    /** The files that the configuration names for secrets, by variable; what is in them may change. */
    secretFiles: Readonly<Record<string, string>>;
    sources: Record<Name, ConfigSource>;
    /** For `env:` references of administrators. */
    readEnv: (name: string) => string | undefined;
  };

export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join('\n'));
    this.problems = problems;
  }
}

export interface ConfigInput {
  flags?: Partial<Record<Name, unknown>>;
  env: Record<string, string | undefined>;
  file?: string | undefined;
}

/** Flag > environment > file > default. Throws one `ConfigError` with every mistake, each with its place. */
export function loadConfig({ flags = {}, env, file }: ConfigInput): Config {
  const problems: string[] = [];
  const fromFile = file === undefined ? {} : readConfigFile(file, problems);
  const values: Record<string, unknown> = {};
  const sources = {} as Record<Name, ConfigSource>;
  for (const name of Object.keys(settings) as Name[]) {
    const setting = settings[name];
    const variable = setting.env.find((key) => env[key] !== undefined && env[key] !== '');
    const [raw, source, place]: [unknown, ConfigSource, string] =
      flags[name] !== undefined
        ? [flags[name], 'flag', `--${name}`]
        : variable !== undefined
          ? [env[variable], 'environment', variable]
          : fromFile[name] !== undefined
            ? [fromFile[name], 'file', `${file}: ${name}`]
            : [undefined, 'default', name];
    sources[name] = source;
    const parsed = setting.schema.safeParse(raw);
    if (parsed.success) values[name] = parsed.data;
    else problems.push(`${place}: ${parsed.error.issues[0]?.message ?? 'is not valid'} (${setting.about})`);
  }
  const grouped = readSections(fromFile, file ?? '', problems);
  const { secrets, secretFiles } = readSecrets(env, fromFile, problems);
  const typed = values as Values;
  const dataDir = resolve(
    typed.dataDir ?? join(env.XDG_DATA_HOME || join(env.HOME ?? homedir(), '.local', 'share'), 'onbehalf'),
  );
  const publicUrl = (typed.publicUrl ?? `http://localhost:${typed.port}`).replace(/\/$/, '');
  problems.push(...exposureProblems(typed, publicUrl));
  if ((typed.stsClientId === undefined) !== (secrets.stsClientSecret === undefined))
    problems.push('ONBEHALF_STS_CLIENT_ID: goes together with ONBEHALF_STS_CLIENT_SECRET');
  if (typed.litellmBaseUrl !== undefined && secrets.litellmMasterKey === undefined)
    problems.push('LITELLM_BASE_URL: needs LITELLM_MASTER_KEY beside it');
  if (problems.length > 0) throw new ConfigError(problems);
  return {
    ...typed,
    ...grouped,
    publicUrl,
    dataDir,
    keyFile: typed.keyFile ?? join(dataDir, 'key'),
    stateDir: stateDirectory(env),
    runtimeDir: env.XDG_RUNTIME_DIR || undefined,
    secrets,
    secretFiles,
    sources,
    readEnv: (name) => env[name] ?? secretOfFile(name, secrets, secretFiles),
  };
}

/** XDG base directories; only from the environment that was handed in, so that a test never writes into a home. */
function stateDirectory(env: Record<string, string | undefined>): string | undefined {
  const state = env.XDG_STATE_HOME || (env.HOME && join(env.HOME, '.local', 'state'));
  return state ? join(state, 'onbehalf') : undefined;
}

/** Where the parts of a stopped server are, as its environment said. */
export function whereStopped(dataDir: string, env: Record<string, string | undefined>) {
  const value = (name: 'keyFile' | 'auditWitness') =>
    settings[name].env.map((variable) => env[variable]).find((text) => text !== undefined && text !== '');
  return {
    database: join(dataDir, 'onbehalf.db'),
    keyFile: value('keyFile') ?? join(dataDir, 'key'),
    auditWitness: value('auditWitness'),
    stateDir: stateDirectory(env),
  };
}

/** A secret that the file brought stands in for the variable of its name; one from a file is read as it is now. */
function secretOfFile(
  variable: string,
  secrets: Secrets,
  secretFiles: Readonly<Record<string, string>>,
): string | undefined {
  const path = secretFiles[variable];
  if (path !== undefined) return readSecretFile(path, variable, []);
  const names = Object.keys(secretSettings) as (keyof typeof secretSettings)[];
  const name = names.find((candidate) => secretSettings[candidate][0] === variable);
  return name && secrets[name]?.reveal();
}

/** Beyond loopback nothing is served in the clear. */
function exposureProblems(values: Values, publicUrl: string): string[] {
  const problems: string[] = [];
  if (values.host !== undefined && !LOOPBACK.test(values.host) && (values.trustedProxies ?? []).length === 0)
    problems.push(
      `--host ${values.host}: is reachable from outside: put a TLS proxy in front and name it in trustedProxies`,
    );
  const url = URL.canParse(publicUrl) ? new URL(publicUrl) : undefined;
  if (url && url.protocol === 'http:' && !LOOPBACK.test(url.hostname))
    problems.push('publicUrl: must be https:// unless it is localhost');
  if (url && (url.pathname !== '/' || url.search !== '' || url.hash !== ''))
    problems.push('publicUrl: must be an origin without a path');
  return problems;
}

function readConfigFile(file: string, problems: string[]): Record<string, unknown> {
  let content: unknown;
  try {
    content = parse(readFileSync(file, 'utf8')) ?? {};
  } catch (error) {
    problems.push(`${file}: ${error instanceof Error ? (error.message.split('\n')[0] ?? '') : 'cannot be read'}`);
    return {};
  }
  if (typeof content !== 'object' || content === null || Array.isArray(content)) {
    problems.push(`${file}: must be a mapping of settings`);
    return {};
  }
  const known = [...Object.keys(settings), ...Object.keys(sections), ...Object.keys(secretSettings)];
  for (const key of Object.keys(content))
    if (!known.includes(key)) {
      const meant = nearest(key, known);
      problems.push(`${file}: unknown setting ${key}${meant ? `: did you mean ${meant}?` : ''}`);
    }
  return content as Record<string, unknown>;
}

function readSections(content: Record<string, unknown>, file: string, problems: string[]): Sections {
  const read = Object.entries(sections).map(([section, fields]) => {
    const given = content[section] ?? {};
    const place = `${file}: ${section}`;
    if (typeof given !== 'object' || Array.isArray(given)) {
      problems.push(`${place}: must be a mapping of ${Object.keys(fields).join(', ')}`);
      return [section, {}];
    }
    const known = Object.keys(fields);
    for (const key of Object.keys(given))
      if (!known.includes(key)) {
        const meant = nearest(key, known);
        problems.push(
          `${place}: unknown setting ${key}: ${meant ? `did you mean ${meant}?` : `known are ${known.join(', ')}`}`,
        );
      }
    const values = Object.entries(fields).map(([name, { schema, about }]) => {
      const parsed = schema.safeParse((given as Record<string, unknown>)[name]);
      if (!parsed.success)
        problems.push(`${place}.${name}: ${parsed.error.issues[0]?.message ?? 'is not valid'} (${about})`);
      return [name, parsed.data];
    });
    return [section, Object.fromEntries(values)];
  });
  const all = Object.fromEntries(read) as Sections;
  const { tryTimeout, timeout } = all.tokenExchange;
  if (tryTimeout > timeout) problems.push(`${file}: tokenExchange.timeout: must not be less than tryTimeout`);
  return all;
}

const secretReference = z.union([z.strictObject({ fromEnv: z.string() }), z.strictObject({ fromFile: z.string() })]);

function readSecrets(
  env: Record<string, string | undefined>,
  file: Record<string, unknown>,
  problems: string[],
): { secrets: Secrets; secretFiles: Record<string, string> } {
  const secrets: Secrets = {};
  const secretFiles: Record<string, string> = {};
  for (const name of Object.keys(secretSettings) as (keyof typeof secretSettings)[]) {
    const variable = secretSettings[name][0];
    let value = env[variable];
    if (value === undefined && file[name] !== undefined) {
      const reference = secretReference.safeParse(file[name]);
      if (!reference.success) problems.push(`${name}: write {fromEnv: NAME} or {fromFile: PATH}, never the value`);
      else if ('fromEnv' in reference.data) value = env[reference.data.fromEnv];
      else {
        secretFiles[variable] = reference.data.fromFile;
        value = readSecretFile(reference.data.fromFile, name, problems);
      }
    }
    if (value !== undefined && value !== '') secrets[name] = SecretValue.of(value);
  }
  return { secrets, secretFiles };
}

function readSecretFile(path: string, name: string, problems: string[]): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    problems.push(`${name}: the file that it names cannot be read`);
    return undefined;
  }
}
