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

test('the address of a token service is https, or on this machine', () => {
  const of = (uri: string) => problems({ env: { STS_WELL_KNOWN_URI: uri } }).join();
  for (const uri of [
    'http://sts.example/.well-known/openid-configuration',
    'http://localhost.evil.example/x',
    'ftp://a/b',
  ])
    assert.match(of(uri), /STS_WELL_KNOWN_URI: must be https:\/\/, or http:\/\/ on this machine/);
  assert.match(of('sts.example/x'), /STS_WELL_KNOWN_URI: Invalid URL \(/, 'a mistake like any other, not a failure');
  for (const uri of ['https://sts.example/x', 'http://localhost:8080/realms/x', 'http://[::1]:8080/x'])
    assert.equal(of(uri), '');
});

test('the section tokenExchange: defaults, values, no variables', () => {
  const plain = loadConfig({ env: { ONBEHALF_TOKEN_EXCHANGE: 'x', TOKEN_EXCHANGE_TIMEOUT: '1s' } }).tokenExchange;
  const defaults = { cacheEntries: 8_192, tryTimeout: 5_000, timeout: 10_000, safetyMargin: 15_000, revoke: true };
  assert.deepEqual(plain, defaults);
  const text =
    'tokenExchange: {cacheEntries: 100, tryTimeout: 500ms, timeout: 2s, safetyMargin: 1m, revoke: false}\nport: 3\n';
  assert.deepEqual(loadConfig({ env: {}, file: file(text) }).tokenExchange, {
    cacheEntries: 100,
    tryTimeout: 500,
    timeout: 2_000,
    safetyMargin: 60_000,
    revoke: false,
  });
  assert.deepEqual(loadConfig({ env: {}, file: file('tokenExchange:\n') }).tokenExchange, defaults);
});

test('mistakes in the section tokenExchange, all at once with those elsewhere', () => {
  const found = problems({
    env: {},
    file: file(
      'tokenExchange: {cacheEntrys: 5, cacheEntries: 0, tryTimeout: 5, timeout: 1h, safetyMargin: -1s, revoke: "no"}\nprot: 1\n',
    ),
  });
  for (const words of [
    /tokenExchange: unknown setting cacheEntrys: did you mean cacheEntries\?/,
    /tokenExchange\.cacheEntries: .*8192/,
    /tokenExchange\.tryTimeout: /,
    /tokenExchange\.timeout: must be from 100ms to 5m/,
    /tokenExchange\.safetyMargin: must be a duration such as/,
    /tokenExchange\.revoke: /,
    /unknown setting prot: did you mean port/,
  ])
    assert.ok(
      found.some((problem) => words.test(problem)),
      `${words} in ${found.join('\n')}`,
    );
  const one = (text: string) => problems({ env: {}, file: file(text) }).join();
  assert.match(one('tokenExchange: [1]'), /tokenExchange: must be a mapping of cacheEntries, tryTimeout/);
  assert.match(one('tokenExchange: {timeout: 1s}'), /tokenExchange.timeout: must not be less than tryTimeout/);
  assert.match(one('tokenExchange: {clientSecret: hunter2}'), /unknown setting clientSecret/);
  assert.ok(!one('tokenExchange: {clientSecret: hunter2}').includes('hunter2'));
  assert.match(one('tokenExchnge: {}'), /did you mean tokenExchange\?/);
});

test('state is kept where the environment says, and nowhere where it names no home', () => {
  const stateDir = (env: Record<string, string>) => loadConfig({ env }).stateDir;
  assert.equal(stateDir({ XDG_STATE_HOME: '/state', HOME: '/users/x' }), '/state/onbehalf');
  assert.equal(stateDir({ HOME: '/users/x' }), '/users/x/.local/state/onbehalf');
  assert.equal(stateDir({}), undefined);
});
