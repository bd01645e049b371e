import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type Explanation, exchangeProfiles, parseDocuments } from '@onbehalf/resources';
import { startWorld, type World } from '../../../tests/e2e/world.ts';
import { starters } from '../src/starter-documents.ts';
import { cli, temporaryDirectory } from './harness.ts';

/** What each asks the token service for. The embedded one has no template of its own name. */
const targets: Readonly<Record<string, readonly [audience: string[], resource: 'url' | 'none', scopes: string[]]>> = {
  agent: [[], 'url', []],
  keycloak: [['orders'], 'none', []],
  'entra-obo': [['SERVER-CLIENT-ID'], 'none', ['api://SERVER-APP/.default']],
  okta: [['api://orders'], 'none', ['orders.read']],
  auth0: [['https://orders.example.com'], 'none', []],
  zitadel: [['SERVER-PROJECT-ID'], 'none', []],
  dex: [['orders'], 'none', []],
  rfc8693: [[], 'url', []],
};

test('there is a template for each dialect but the embedded one, and the list says what each is for', async () => {
  const names = ['agent', ...exchangeProfiles.filter((name) => name !== 'onbehalf')];
  assert.deepEqual(Object.keys(starters).sort(), names.sort());
  const listed = await cli(['init', '--list', '-o', 'name']);
  assert.deepEqual(listed.stdout.trim().split('\n').sort(), names);
  assert.match((await cli(['init', '--list'])).stdout, /^keycloak +Keycloak 26/m);
  assert.match((await cli(['completion', 'bash'])).stdout, /'init'\) words='agent keycloak /);
});

test('a file that is there is not overwritten unless somebody says so; the hints name what comes next', async () => {
  await using directory = await temporaryDirectory();
  const options = { cwd: directory.path };
  const first = await cli(['init', 'keycloak'], options);
  assert.deepEqual([first.code, first.stdout], [0, 'onbehalf.resources.yaml written\n']);
  assert.match(first.stderr, /onbehalf secret set keycloak secret --from-file FILE/);
  const path = join(directory.path, 'onbehalf.resources.yaml');
  await writeFile(path, 'mine');
  const refused = await cli(['init'], options);
  assert.equal(refused.code, 2);
  assert.match(refused.stderr, /Overwrite it\? Nobody can answer here/);
  assert.equal(await readFile(path, 'utf8'), 'mine');
  assert.equal((await cli(['init', '--yes', '-q'], options)).stderr, '');
  assert.match(await readFile(path, 'utf8'), /kind: Agent/);
  assert.equal((await cli(['init', '-f', 'missing/a.yaml'], options)).code, 2);
});

test('an unknown template names the one that was meant; values that do not fit are refused before anything is written', async () => {
  await using directory = await temporaryDirectory();
  const unknown = await cli(['init', 'keyclok'], { cwd: directory.path });
  assert.equal(unknown.code, 2);
  assert.match(unknown.stderr, /did you mean keycloak\?/);
  for (const words of [
    ['--url', 'ftp://orders'],
    ['--url', 'https://a.example/mcp\n  headers: []'],
    ['--name', 'Not_A_Name'],
    ['--agent', 'models'],
    ['--issuer', 'nowhere'],
  ]) {
    const ran = await cli(['init', 'okta', ...words], { cwd: directory.path });
    assert.deepEqual([ran.code, ran.stdout], [2, ''], words.join(' '));
  }
  await assert.rejects(readFile(join(directory.path, 'onbehalf.resources.yaml')));
});

describe('a real server', () => {
  let world: World;
  before(async () => {
    world = await startWorld();
  });
  after(() => world?.[Symbol.asyncDispose]());

  for (const [name, [audience, resource, scopes]] of Object.entries(targets))
    test(`accepts the template ${name}, and resolves its target`, async () => {
      await using directory = await temporaryDirectory();
      const fine = async (words: readonly string[], stdin?: string) => {
        const ran = await cli([...words, '--data-dir', world.dataDir], {
          cwd: directory.path,
          ...(stdin !== undefined && { stdin }),
        });
        assert.equal(ran.code, 0, `${words.join(' ')}: ${ran.stderr}`);
        return ran;
      };
      const own = ['--name', `tools-${name}`, '--agent', `agent-${name}`, '--url', world.orders.url];
      const text = (await fine(['init', name, '-f', '-', ...own])).stdout;
      const { documents, errors } = parseDocuments(text, name);
      assert.deepEqual(errors, []);
      assert.ok(!documents.some(({ input }) => input.kind === 'Secret'), 'no value of a secret has a place in it');
      await fine(['init', name, ...own]);
      const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const jwk = JSON.stringify({ ...privateKey.export({ format: 'jwk' }), kid: 'k1', alg: 'ES256' });
      for (const secret of starters[name]?.secrets ?? [])
        await fine(['secret', 'set', secret.name, secret.key], secret.key === 'jwk' ? jwk : 'of-a-test');
      const trial = await fine(['apply', '-f', 'onbehalf.resources.yaml', '--dry-run']);
      assert.equal(trial.stdout.match(/created \(dry run\)/g)?.length, documents.length);
      const applied = await fine(['apply', '-f', 'onbehalf.resources.yaml']);
      assert.doesNotMatch(applied.stderr, /waits/);
      await world.admin('POST', `/mcp-servers/tools-${name}/actions/test`);
      const explained = await fine(['explain', `agent/agent-${name}`, '-o', 'json']);
      const { tools, callers, model } = JSON.parse(explained.stdout) as Explanation;
      assert.equal(model?.problem, undefined);
      assert.equal(callers.length, 1);
      assert.ok(tools.length > 0, text);
      const from = (values: readonly string[]) => (values.length > 0 ? 'server' : 'none');
      const resources = resource === 'url' ? [world.orders.url] : [];
      for (const tool of tools) {
        assert.equal(tool.problem, undefined);
        assert.deepEqual(tool.target, {
          ...{ audience, resource: resources, scopes },
          expectedAudience: audience.length > 0 ? audience : resources,
          origin: { audience: from(audience), resource: from(resources), scopes: from(scopes) },
        });
      }
    });
});
