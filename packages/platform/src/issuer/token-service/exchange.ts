import { identityOf } from '@onbehalf/resources';
import { type Limits, personKey } from '../../limits/index.ts';
import type { PrincipalName } from '../../people/index.ts';
import type { Registry } from '../../store/index.ts';
import type { TargetQuestion } from '../types.ts';
import { agentOf, agentSubject, verifyAgentToken } from './agents.ts';
import { ACTOR, chainOf, DELEGATION_REQUEST, EXCHANGE_FORM, SCOPE, TARGET } from './checks.ts';
import type { TokenClient } from './client-auth.ts';
import { orSlower, pass, TokenError } from './errors.ts';
import { type Form, required, scopesOf } from './form.ts';
import { type Issued, type Issuing, issue, type Trail } from './issue.ts';
import { ACCESS_TOKEN, type Act, DELEGATION, type SubjectOptions, validateSubject } from './subject.ts';
import type { RegisteredTarget, Targets } from './targets.ts';

export interface ExchangeOptions extends Issuing, SubjectOptions {
  registry: Registry;
  targets: Targets;
  authorizeTarget(question: TargetQuestion): boolean;
  limits: Limits;
}

/** RFC 8693. @throws TokenError */
export async function exchange(form: Form, client: TokenClient, trail: Trail, o: ExchangeOptions) {
  pass(EXCHANGE_FORM, { form, client });
  const asked = { resource: form.get('resource'), audience: form.get('audience') };
  const wanted = scopesOf(form);
  trail.asked = askedTarget(asked, wanted);

  const type = required(form, 'subject_token_type');
  const subject = await validateSubject(required(form, 'subject_token'), type, client.id, o);
  trail.principal = { ...subject.principal, sid: subject.sid, jti: subject.jti };
  try {
    o.limits.take('exchanges', `${client.id}\n${personKey(subject.principal)}`);
  } catch (error) {
    throw orSlower(error);
  }

  const { agent: actor, used } = await verifyAgentToken(required(form, 'actor_token'), 'actor+jwt', client, o);
  trail.agent = actor;
  trail.used.push(used);
  const actorSubject = agentSubject(actor);
  const act: Act = { sub: actorSubject, iss: o.issuer, agent_uid: actor.uid, ...(subject.act && { act: subject.act }) };
  trail.chain = chainOf(act).map(({ sub, agent_uid: uid = '' }) => ({ agent: sub, uid }));
  const above = chainOf(subject.act).map(({ sub, agent_uid: uid }) => {
    const agent = agentOf(o.registry, sub);
    return agent?.uid === uid ? agent : undefined;
  });
  pass(ACTOR, { subject, actor, actorSubject, act, above });
  const chain = above.filter((agent) => agent !== undefined);

  const common = {
    sub: subject.sub,
    sub_id: subjectIdOf(subject.principal),
    client_id: client.id,
    notAfter: subject.expiresAt,
    act,
  };
  const limit = (scopes: readonly string[]) =>
    scopes.filter((scope) => subject.scopes === undefined || subject.scopes.includes(scope));

  if (form.get('requested_token_type') === DELEGATION) {
    const child = agentOf(o.registry, form.get('delegate'));
    const question = { subject: subject.principal, server: undefined, chain: [actor, ...chain] };
    const allowed = child !== undefined && o.authorizeTarget({ ...question, agent: child });
    pass(DELEGATION_REQUEST, { form, issuer: o.issuer, act, child, actor, allowed });
    const scopes = limit(wanted);
    pass(SCOPE, { asked: wanted, granted: scopes });
    const narrowed = wanted.length === 0 ? (subject.scopes ?? []) : scopes;
    const claims = { ...common, aud: o.issuer, scopes: narrowed, may_act: { sub: required(form, 'delegate') } };
    return answerOf(await issue(o, 'delegation+jwt', claims, trail), DELEGATION);
  }

  const registered = o.targets.find(asked).filter(({ mode }) => mode === 'Exchange');
  const allowed = registered.filter((target) =>
    o.authorizeTarget({ subject: subject.principal, agent: actor, server: serverOf(target), chain }),
  );
  pass(TARGET, { asked, publicUrl: o.issuer, registered, allowed });
  const target = chosen(allowed);
  trail.target = target;
  const scopes = limit(wanted.filter((scope) => target.scopes.includes(scope)));
  pass(SCOPE, { asked: wanted, granted: scopes });
  const aud = asked.audience ?? asked.resource ?? '';
  return answerOf(await issue(o, 'at+jwt', { ...common, aud, scopes }, trail), ACCESS_TOKEN);
}

export function subjectIdOf({ issuer, subject }: PrincipalName) {
  return { format: 'iss_sub', iss: issuer, sub: subject } as const;
}

export function askedTarget(
  asked: { resource: string | undefined; audience: string | undefined },
  scopes: readonly string[],
) {
  return {
    ...(asked.resource !== undefined && { resource: asked.resource }),
    ...(asked.audience !== undefined && { audience: asked.audience }),
    scopes,
  };
}

export const serverOf = ({ server }: RegisteredTarget) => identityOf(server);

/** Two servers may register one value; each of these is allowed, and the order is always the same. */
export function chosen(allowed: readonly RegisteredTarget[]): RegisteredTarget {
  const [first] = [...allowed].sort((a, b) => (a.server.metadata.uid < b.server.metadata.uid ? -1 : 1));
  if (first === undefined) throw new TokenError('invalid_target', 'target_allowed', 'the target is not allowed');
  return first;
}

/** RFC 8693 section 2.2.1. */
function answerOf({ token, expiresIn, scope }: Issued, type: string) {
  return {
    access_token: token.reveal(),
    issued_token_type: type,
    token_type: 'Bearer',
    expires_in: expiresIn,
    ...(scope !== '' && { scope }),
  };
}
