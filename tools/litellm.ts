/**
 * Sets LiteLLM up in the cache folder and starts it. The version is pinned, and its dependencies are resolved as of a
 * date: some releases after it were malicious.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const VERSION = '1.105.1';
const AS_OF = '2026-10-15';
const run = promisify(execFile);

const folder = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'onbehalf', `litellm-${VERSION}-${AS_OF}`);
const program = join(folder, 'bin', 'litellm');

/** Whether LiteLLM has been set up on this machine. */
export const hasLitellm = () => existsSync(join(folder, '.ready'));

/** Installs LiteLLM once (a few minutes). Throws where there is no Python or no package index. */
export async function setUpLitellm(): Promise<void> {
  if (hasLitellm()) return;
  await rm(folder, { recursive: true, force: true });
  await mkdir(join(folder, '..'), { recursive: true });
  const options = { maxBuffer: 64 << 20 };
  await run('python3', ['-m', 'venv', folder], options);
  await run(join(folder, 'bin', 'pip'), ['install', '--quiet', '--disable-pip-version-check', 'uv'], options);
  await run(
    join(folder, 'bin', 'uv'),
    [
      'pip',
      'install',
      '--quiet',
      '--python',
      join(folder, 'bin', 'python'),
      '--exclude-newer',
      AS_OF,
      `litellm[proxy]==${VERSION}`,
    ],
    options,
  );
  const marker = join(folder, '.ready.new');
  await writeFile(marker, VERSION);
  await rename(marker, join(folder, '.ready'));
}

export interface RunningLitellm {
  url: string;
  stop(): Promise<void>;
}

/** Starts it on a port with one model that is served by `upstream`. Ready after 11 to 25 s. */
export async function startLitellm(o: {
  port: number;
  masterKey: string;
  model: string;
  upstream: string;
  dir: string;
}): Promise<RunningLitellm> {
  const config = join(o.dir, 'litellm.yaml');
  await writeFile(
    config,
    JSON.stringify({
      model_list: [
        {
          model_name: o.model,
          litellm_params: { model: `openai/${o.model}`, api_base: o.upstream, api_key: 'upstream-key' },
        },
      ],
      general_settings: { master_key: o.masterKey },
      router_settings: { disable_cooldowns: true, num_retries: 0 },
    }),
  );
  const { PYTHONDONTWRITEBYTECODE: _bytecode, ...inherited } = process.env;
  const child: ChildProcess = spawn(program, ['--config', config, '--host', '127.0.0.1', '--port', String(o.port)], {
    cwd: o.dir,
    stdio: 'ignore',
    env: {
      ...inherited,
      LITELLM_LOCAL_MODEL_COST_MAP: 'True',
      LITELLM_TELEMETRY: 'False',
      NO_DOCS: 'True',
      DISABLE_ADMIN_UI: 'True',
    },
  });
  const url = `http://127.0.0.1:${o.port}`;
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const stop = async () => {
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), 5_000);
    await exited;
    clearTimeout(timer);
  };
  for (let waited = 0; waited < 120_000; waited += 250) {
    if (child.exitCode !== null) throw new Error('LiteLLM did not start');
    const alive = await fetch(`${url}/health/liveliness`)
      .then((response) => response.ok)
      .catch(() => false);
    if (alive) return { url, stop };
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  await stop();
  throw new Error('LiteLLM was not ready within two minutes');
}
