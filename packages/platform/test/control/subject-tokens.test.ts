import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ControlFixture, controlFixture, doc, docs, ISSUER, OTHER } from './fixture.ts';

const KEYCLOAK = 'https://kc.example/realms/a';
const client = (id: string) => `{id: ${id}, auth: SecretBasic, secretRef: {env: KC}}`;
const issuer = (name: string, url: string) =>
  doc('TrustedIssuer', name, `{issuer: "${url}", jwksUri: "https://k.example/jwks"}`);
const service = (name: string, spec: string) => doc('TokenService', name, spec);
const server = (name: string, tokenService: string, mode = 'Exchange') =>
  doc(
    'RemoteMCPServer',
    name,
    `{url: "https://${name}.example/mcp", auth: {mode: ${mode}, tokenServiceRef: {name: ${tokenService}}, audience: [a]}}`,
  );
const MINUTES = 300_000;

const says = (f: ControlFixture, name = 'office') => {
  const found = f.get('TrustedIssuer', name).status.conditions?.find(({ type }) => type === 'SubjectTokenUnusable');
  return found && [found.status, found.reason, found.message];
};

test('what people sign in with is judged by the token services at which tools exchange: who must be in `aud`, how long it lives', async () => {
  await using f = await controlFixture();
  await f.apply(
    'ada',
    docs(
      issuer('office', OTHER),
      issuer('annex', 'https://annex.example'),
      service('own', `{issuer: "${ISSUER}", profile: onbehalf}`),
    ),
  );
  const note = (audience: string[] | undefined, lifetime = MINUTES) =>
    f.control.noteSubjectToken('office', { audience, lifetime });
  // Nothing exchanges there: everything will do.
  await note(undefined);
  assert.deepEqual(says(f), [
    'False',
    'Usable',
    'what people sign in with can be exchanged at the token services in use',
  ]);
  await f.apply('ada', server('tools', 'own', 'Workload'));
  await note(undefined);
  assert.equal(says(f)?.[1], 'Usable', 'a Workload server takes no person’s token');
  await f.apply('ada', server('tools', 'own'));
  await note(undefined);
  assert.deepEqual(says(f)?.slice(0, 2), ['True', 'Opaque']);
  assert.match(says(f)?.[2] ?? '', /set login\.audience or login\.resource/);
  await note(['somebody-else']);
  assert.equal(says(f)?.[1], 'RequesterNotInAudience');
  assert.match(says(f)?.[2] ?? '', new RegExp(`TokenService own takes tokens whose .aud. holds ${ISSUER} or platform`));
  for (const audience of [[ISSUER], ['x', 'platform']]) {
    await note(audience);
    assert.equal(says(f)?.[1], 'Usable');
  }
  await note(['platform'], 20_000);
  assert.deepEqual(says(f), ['True', 'ShortLived', 'access tokens live 20 s: give them at least a minute']);
  // All that is wrong stands in the message.
  await note(['x'], 20_000);
  assert.match(says(f)?.[2] ?? '', /add an audience mapper.*; access tokens live 20 s/);
  // Of the other issuer nothing is said: nobody signed in there.
  assert.equal(says(f, 'annex'), undefined);
});

test('at Keycloak and Entra each client that exchanges must be in `aud`, in either spelling', async () => {
  await using f = await controlFixture();
  const perAgent = `, clientPerAgent: [{agent: {name: a}, client: ${client('agent-a')}}, {agent: {name: b}, client: ${client('agent-b')}}]`;
  const keycloak = (more = '') =>
    service('kc', `{issuer: "${KEYCLOAK}", profile: keycloak, client: ${client('platform-client')}${more}}`);
  await f.apply('ada', docs(issuer('office', OTHER), keycloak(), server('tools', 'kc')));
  const note = async (...audience: string[]) => {
    await f.control.noteSubjectToken('office', { audience, lifetime: MINUTES });
    return says(f)?.[1];
  };
  assert.equal(await note('account'), 'RequesterNotInAudience');
  assert.equal(await note('platform-client'), 'Usable');
  assert.equal(await note('api://platform-client'), 'Usable');
  await f.apply('ada', keycloak(perAgent));
  assert.equal(await note('platform-client', 'agent-a'), 'RequesterNotInAudience');
  assert.match(says(f)?.[2] ?? '', /exchanges as agent-b, which/);
  assert.equal(await note('platform-client', 'agent-a', 'agent-b'), 'Usable');
  // Of a service whose rules are not known the first exchange says it.
  await f.apply(
    'ada',
    docs(service('plain', '{issuer: "https://sts.example", profile: rfc8693}'), server('tools', 'plain')),
  );
  assert.equal(await note('account'), 'Usable');
});

test('a sign-in that was refused is said in its words; what is the same is not written again; our own issuer is not judged', async () => {
  await using f = await controlFixture();
  await f.apply('ada', docs(issuer('office', OTHER), issuer('onbehalf', ISSUER)));
  await f.control.noteSubjectToken('office', 'its ID token names another subject');
  assert.deepEqual(says(f), ['True', 'NotAccepted', 'its ID token names another subject']);
  await f.control.reconcile();
  const { resourceVersion } = f.get('TrustedIssuer', 'office').metadata;
  await f.control.noteSubjectToken('office', 'its ID token names another subject');
  assert.equal(f.get('TrustedIssuer', 'office').metadata.resourceVersion, resourceVersion);
  await f.control.noteSubjectToken('onbehalf', 'never');
  assert.equal(says(f, 'onbehalf'), undefined);
  await f.control.noteSubjectToken('unknown', 'never');
});

test('what a sign-in brought is laid beside what was written meanwhile, over neither of them', async () => {
  await using f = await controlFixture();
  await f.apply('ada', issuer('office', OTHER));
  await Promise.all([
    f.control.noteSubjectToken('office', 'refused'),
    f.control.reconcile(),
    f.apply('ada', doc('TrustedIssuer', 'office', `{issuer: "${OTHER}", jwksUri: "https://k.example/other"}`)),
  ]);
  await f.control.reconcile();
  const { spec, status } = f.get('TrustedIssuer', 'office');
  assert.equal(spec.jwksUri, 'https://k.example/other');
  assert.deepEqual((status.conditions ?? []).map(({ type }) => type).sort(), [
    'Accepted',
    'ResolvedRefs',
    'SubjectTokenUnusable',
  ]);
});
