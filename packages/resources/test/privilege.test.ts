import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseDocuments, privilegedProperty, type Resource } from '@onbehalf/resources';

function input(kind: string, spec: unknown) {
  const { documents, errors } = parseDocuments(
    JSON.stringify({ apiVersion: 'onbehalf.dev/v1alpha1', kind, metadata: { name: 'x' }, spec }),
  );
  const first = documents[0];
  assert.ok(first, JSON.stringify(errors));
  return first.input;
}

const url = 'https://orders.example/mcp';
const cases: [string, unknown, boolean][] = [
  ['TokenService', { issuer: 'https://i.example', profile: 'rfc8693' }, true],
  ['TrustedIssuer', { issuer: 'https://i.example' }, true],
  ['RemoteMCPServer', { url, auth: { mode: 'Exchange', resource: [url] } }, true],
  ['RemoteMCPServer', { url, auth: { mode: 'Workload', resource: [url] } }, true],
  ['RemoteMCPServer', { url, auth: { mode: 'Forward' } }, true],
  ['RemoteMCPServer', { protocol: 'Stdio', stdio: { command: ['x'] } }, true],
  ['RemoteMCPServer', { url }, false],
  [
    'RemoteMCPServer',
    { url, auth: { mode: 'Static', static: { header: 'x-key', secretRef: { name: 's', key: 'k' } } } },
    false,
  ],
  ['RemoteMCPServer', { url, auth: { mode: 'Static', static: { header: 'x-key', secretRef: { env: 'KEY' } } } }, true],
  ['Agent', { type: 'Declarative', declarative: {} }, false],
  ['Agent', { type: 'BYO', byo: { process: { command: ['x'] } } }, true],
  ['Agent', { type: 'BYO', byo: { deployment: { image: 'x' } } }, true],
  ['ModelConfig', { provider: 'Demo', model: 'demo' }, false],
  ['ModelConfig', { provider: 'OpenAI', model: 'm', credentialRef: { env: 'OPENAI_API_KEY' } }, true],
  ['ModelConfig', { provider: 'OpenAI', model: 'm', credentialRef: { name: 's', key: 'k' } }, false],
  ['Grant', { to: { role: 'REGULAR' }, on: { namespace: 'default' }, verbs: ['run'] }, true],
  ['Grant', { to: { role: 'REGULAR' }, on: { kind: 'Agent', name: 'a' }, verbs: ['run'] }, false],
];

for (const [kind, spec, privileged] of cases)
  test(`${kind} ${JSON.stringify(spec)} ${privileged ? 'needs an administrator' : 'does not need an administrator'}`, () => {
    assert.equal(privilegedProperty(input(kind, spec)) !== undefined, privileged);
  });

test('turning an Exchange server into a plain one is a privileged change too', () => {
  const before = {
    kind: 'RemoteMCPServer',
    spec: { url, auth: { mode: 'Exchange', resource: [url] } },
  } as unknown as Resource;
  assert.ok(privilegedProperty(input('RemoteMCPServer', { url: 'https://evil.example/mcp' }), before));
});
