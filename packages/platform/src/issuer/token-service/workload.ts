import { agentSubject, verifyAgentToken } from './agents.ts';
import { SCOPE, TARGET } from './checks.ts';
import type { TokenClient } from './client-auth.ts';
import { type Check, pass } from './errors.ts';
import { askedTarget, chosen, type ExchangeOptions, serverOf, subjectIdOf } from './exchange.ts';
import { type Form, required, scopesOf } from './form.ts';
import { issue, MAX_LIFE, type Trail } from './issue.ts';

const CLIENT: readonly Check<{ client: TokenClient; discovery: boolean }>[] = [
  {
    name: 'client_has_workloads',
    error: 'unauthorized_client',
    says: 'the client may not ask for tokens of its own',
    passes: ({ client }) => client.grants.includes('workload'),
  },
  {
    // Its token opens every tool server for discovery.
    name: 'platform_discovers',
    error: 'unauthorized_client',
    says: 'only the platform asks for itself',
    passes: ({ client, discovery }) => !discovery || client.agents === 'all',
  },
];

/**
 * A token for no person: of an agent (RFC 7523 section 2.1, with an assertion of the platform), or of the platform
 * itself, which reads tool lists with it (RFC 6749 section 4.4). @throws TokenError
 */
export async function workload(
  form: Form,
  grant: 'client_credentials' | 'jwt-bearer',
  client: TokenClient,
  trail: Trail,
  o: ExchangeOptions,
) {
  const discovery = grant === 'client_credentials';
  pass(CLIENT, { client, discovery });
  const asked = { resource: form.get('resource'), audience: form.get('audience') };
  const wanted = scopesOf(form);
  trail.asked = askedTarget(asked, wanted);

  const named = discovery ? undefined : await verifyAgentToken(required(form, 'assertion'), 'assertion+jwt', client, o);
  if (named !== undefined) {
    trail.agent = named.agent;
    trail.used.push(named.used);
  }
  const subject = {
    issuer: o.issuer,
    subject: named === undefined ? `client:${client.id}` : agentSubject(named.agent),
  };
  trail.principal = subject;

  const registered = o.targets
    .find(asked)
    .filter(({ mode, server }) =>
      discovery ? (server.spec.auth?.discovery?.mode ?? 'Workload') === 'Workload' : mode === 'Workload',
    );
  const allowed = registered.filter(
    (target) =>
      named === undefined ||
      o.authorizeTarget({ subject: undefined, agent: named.agent, server: serverOf(target), chain: [] }),
  );
  pass(TARGET, { asked, publicUrl: o.issuer, registered, allowed });
  const target = chosen(allowed);
  trail.target = target;
  const scopes = wanted.filter((scope) => target.scopes.includes(scope));
  pass(SCOPE, { asked: wanted, granted: scopes });
  const claims = {
    sub: subject.subject,
    sub_id: subjectIdOf(subject),
    aud: asked.audience ?? asked.resource ?? '',
    client_id: client.id,
    scopes,
    notAfter: o.now() / 1000 + MAX_LIFE,
  };
  const { token, expiresIn, scope } = await issue(o, 'at+jwt', claims, trail);
  return {
    access_token: token.reveal(),
    token_type: 'Bearer',
    expires_in: expiresIn,
    ...(scope !== '' && { scope }),
  };
}
