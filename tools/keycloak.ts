/**
 * Sets Keycloak up in the cache folder and starts it. The archive comes from a Maven repository by its ordinary client
 * and is compared with a known hash; a realm is imported once, and each run has a copy of the database that this left.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { copyFile, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const VERSION = '26.7.3';
const SHA256 = '77657f30b7e90d70f727712ce1c967f430fd6a5e9f458d32d8c6df0635345f47';
const run = promisify(execFile);

const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'onbehalf');
const home = join(cache, `keycloak-${VERSION}`);
const script = join(home, 'bin', 'kc.sh');
const ready = join(home, '.ready');

/** Of the one administrator, who is in the database that the set-up leaves. For tests on loopback only. */
const ADMIN = { username: 'admin', password: 'admin-of-a-test' };

const JAVA = { JAVA_OPTS_APPEND: '-XX:TieredStopAtLevel=1', JAVA_OPTS_KC_HEAP: '-Xms64m -Xmx384m' };

/** Whether Keycloak has been set up on this machine. */
export const hasKeycloak = () => existsSync(ready);

/** Fetches, unpacks and builds it once: about a minute. Throws where there is no Java, Maven or repository. */
export async function setUpKeycloak(): Promise<void> {
  if (hasKeycloak()) return;
  const options = { maxBuffer: 64 << 20 };
  const building = join(cache, `keycloak-${VERSION}.new-${randomUUID()}`);
  try {
    await mkdir(building, { recursive: true });
    const artifact = `org.keycloak:keycloak-quarkus-dist:${VERSION}:tar.gz`;
    await run(
      'mvn',
      ['-q', '-B', 'dependency:copy', `-Dartifact=${artifact}`, `-DoutputDirectory=${building}`],
      options,
    );
    const archive = join(building, `keycloak-quarkus-dist-${VERSION}.tar.gz`);
    if ((await sha256(archive)) !== SHA256) throw new Error('the archive of Keycloak is not the one that was pinned');
    await run('tar', ['xzf', archive, '--strip-components=1', '-C', building], options);
    await rm(archive);
    await run(join(building, 'bin', 'kc.sh'), ['build', '--db=dev-file'], { ...options, env: environment() });
    await writeFile(join(building, '.ready'), VERSION);
    if (hasKeycloak()) return;
    await rm(home, { recursive: true, force: true });
    await rename(building, home);
  } finally {
    await rm(building, { recursive: true, force: true });
  }
}

export interface RunningKeycloak {
  /** Without a path; the issuer of a realm is `url/realms/NAME`. */
  url: string;
  /** An access token of the administrator, for the Admin REST API under `url/admin/realms/NAME`. */
  adminToken(): Promise<string>;
  /** Of the script, whose child Keycloak is. */
  pid: number;
  stop(): Promise<void>;
}

/**
 * Starts it on loopback with the realm of a file. The first time with a realm takes about half a minute longer, then
 * it is ready in about ten seconds. `dir` receives this run's database.
 */
export async function startKeycloak(o: { port: number; realm: string; dir: string }): Promise<RunningKeycloak> {
  const content = await readFile(o.realm);
  const { realm } = JSON.parse(content.toString()) as { realm: string };
  const database = await preparedDatabase(content, realm, o.port);
  await copyFile(database, join(o.dir, 'keycloakdb.mv.db'));
  return launch(o.port, o.dir, realm, []);
}

/** One file per realm: what an import leaves behind. */
async function preparedDatabase(content: Buffer, realm: string, port: number): Promise<string> {
  const folder = join(home, 'databases', createHash('sha256').update(content).digest('hex').slice(0, 16));
  const file = join(folder, 'keycloakdb.mv.db');
  if (existsSync(file)) return file;
  const building = `${folder}.new-${randomUUID()}`;
  await mkdir(building, { recursive: true });
  try {
    const imports = join(home, 'data', 'import');
    await mkdir(imports, { recursive: true });
    await writeFile(join(imports, 'realm.json'), content);
    const first = await launch(port, building, realm, ['--import-realm']);
    await first.stop();
    await rename(building, folder).catch((error: unknown) => {
      // Another run was first, with the same realm.
      if (!existsSync(file)) throw error;
    });
  } finally {
    await rm(building, { recursive: true, force: true });
  }
  return file;
}

async function launch(
  port: number,
  dir: string,
  realm: string,
  parameters: readonly string[],
): Promise<RunningKeycloak> {
  const url = `http://127.0.0.1:${port}`;
  const child: ChildProcess = spawn(
    script,
    [
      'start',
      '--optimized',
      '--cache=local',
      '--http-enabled=true',
      '--http-host=127.0.0.1',
      `--http-port=${port}`,
      `--hostname=${url}`,
      `--db-url=jdbc:h2:file:${join(dir, 'keycloakdb')};NON_KEYWORDS=VALUE`,
      ...parameters,
    ],
    {
      cwd: dir,
      stdio: 'ignore',
      env: {
        ...environment(),
        KC_BOOTSTRAP_ADMIN_USERNAME: ADMIN.username,
        KC_BOOTSTRAP_ADMIN_PASSWORD: ADMIN.password,
      },
    },
  );
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const stop = async () => {
    // The script hands SIGTERM on to Java; SIGKILL would end the script alone.
    child.kill('SIGTERM');
    await exited;
  };
  const adminToken = async () => {
    const answer = await fetch(`${url}/realms/master/protocol/openid-connect/token`, {
      method: 'POST',
      body: new URLSearchParams({ grant_type: 'password', client_id: 'admin-cli', ...ADMIN }),
    });
    const { access_token: token } = (await answer.json()) as { access_token?: string };
    if (token === undefined) throw new Error(`Keycloak's administrator was refused with ${answer.status}`);
    return token;
  };
  for (let waited = 0; waited < 180_000; waited += 250) {
    if (child.exitCode !== null) throw new Error('Keycloak did not start');
    const alive = await fetch(`${url}/realms/${realm}/.well-known/openid-configuration`)
      .then((response) => response.ok)
      .catch(() => false);
    if (alive) return { url, adminToken, pid: child.pid ?? 0, stop };
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  await stop();
  throw new Error('Keycloak was not ready within three minutes');
}

function environment() {
  return { ...process.env, ...JAVA };
}

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}
