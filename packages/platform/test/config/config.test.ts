import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ConfigError, loadConfig } from '../../src/config.ts';

const folder = mkdtempSync(join(tmpdir(), 'onbehalf-config-'));
after(() => rmSync(folder, { recursive: true, force: true }));
function file(text: string): string {
  const path = join(folder, `${crypto.randomUUID()}.yaml`);
  writeFileSync(path, text);
  return path;
}
function problems(input: Parameters<typeof loadConfig>[0]): readonly string[] {
  try {
    loadConfig(input);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

test('flag over environment over file over default, and it says which won', () => {
  const config = loadConfig({
    flags: { port: 1 },
    env: { ONBEHALF_PORT: '2', ONBEHALF_LOG_LEVEL: 'warn' },
    file: file('port: 3\nprivateNetworks: [10.0.0.0/8]\n'),
  });
  assert.deepEqual(
    [config.port, config.logLevel, config.privateNetworks, config.host],
    [1, 'warn', ['10.0.0.0/8'], '127.0.0.1'],
  );
  assert.deepEqual(
    [config.sources.port, config.sources.logLevel, config.sources.privateNetworks, config.sources.host],
    ['flag', 'environment', 'file', 'default'],
  );
  assert.equal(config.publicUrl, 'http://localhost:1');
});

test('every mistake at once, each with its place and what would be right', () => {
  const found = problems({
    flags: { port: 99_999 },
    env: { ONBEHALF_LOG_LEVEL: 'loud', LITELLM_BASE_URL: 'http://l', ONBEHALF_STS_CLIENT_ID: 'x' },
    file: file('prot: 1\nlitellmMasterKey: sk-in-the-file\n'),
  });
  for (const words of [
    /--port/,
    /ONBEHALF_LOG_LEVEL/,
    /unknown setting prot: did you mean port/,
    /litellmMasterKey: write \{fromEnv: NAME\}/,
    /LITELLM_MASTER_KEY/,
    /ONBEHALF_STS_CLIENT_SECRET/,
  ])
    assert.ok(
      found.some((problem) => words.test(problem)),
      `${words} in ${found.join('\n')}`,
    );
  assert.ok(!found.join().includes('sk-in-the-file'));
});

test('nothing is served beyond loopback without a trusted proxy, nor over http under another name', () => {
  assert.match(problems({ flags: { host: '0.0.0.0' }, env: {} }).join(), /trustedProxies/);
  assert.match(problems({ env: { ONBEHALF_PUBLIC_URL: 'http://agents.example' } }).join(), /https/);
  assert.deepEqual(
    problems({
      flags: { host: '0.0.0.0' },
      env: { ONBEHALF_TRUSTED_PROXIES: '10.0.0.0/8', ONBEHALF_PUBLIC_URL: 'https://agents.example' },
    }),
    [],
  );
});

test('a secret by fromFile stands in for its variable, and is not printed', () => {
  const secret = file('sk-canary\n');
  const config = loadConfig({
    env: { LITELLM_BASE_URL: 'http://127.0.0.1:4000' },
    file: file(`litellmMasterKey: {fromFile: ${secret}}\n`),
  });
  assert.equal(config.readEnv('LITELLM_MASTER_KEY'), 'sk-canary');
  assert.ok(!JSON.stringify(config).includes('sk-canary'));
});
