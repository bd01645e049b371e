import { decideTool, type Principal } from '@onbehalf/access';
import type { Authorize, TurnInput } from '../runtime/index.ts';
import type { Stored } from '../store/index.ts';
import type { Caller, Services } from './services.ts';

/** What the runtime asks during a turn, closed over the principal as the table knows them at that moment. */
export function authorizeFor(services: Services, principal: Principal): Authorize {
  const current = () => services.policy.current(principal);
  return {
    run(agents) {
      const who = current();
      for (const agent of agents) {
        const decision = services.policy.decide(who, 'run', { kind: 'Agent', uid: agent.uid });
        if (decision.effect !== 'allow') {
          const code =
            decision.rule === 'inactive'
              ? 'principal_revoked'
              : decision.rule === 'disabled'
                ? 'agent_disabled'
                : 'access_revoked';
          return { ...decision, code };
        }
      }
      return { effect: 'allow', rule: 'run', reason: 'may run every agent of the chain' };
    },
    tool: (call) => decideTool(services.policy.table(), current(), call, { now: services.now() }),
  };
}

export function turnInput(
  services: Services,
  caller: Caller,
  session: string,
  message: { content: string; source?: string | undefined },
  more: { door: string; requestId: string; idempotencyKey?: string | undefined },
): TurnInput {
  const { principal } = caller;
  const { credential } = principal;
  return {
    session,
    content: message.content,
    ...(message.source !== undefined && { source: message.source }),
    caller: {
      issuer: principal.issuer,
      subject: principal.subject,
      ...(principal.name !== undefined && { name: principal.name }),
      endUser: services.vault.keyedHash(`${principal.issuer}\n${principal.subject}`).hash,
      audit: {
        issuer: principal.issuer,
        subject: principal.subject,
        ...(credential.sid !== undefined && { sid: credential.sid }),
        ...(credential.jti !== undefined && { jti: credential.jti }),
        ...(credential.azp !== undefined && { azp: credential.azp }),
        ...(credential.authTime !== undefined && { authTime: credential.authTime }),
        ...(credential.amr && { amr: credential.amr }),
      },
    },
    subject: caller.subject,
    authorize: authorizeFor(services, principal),
    door: more.door,
    requestId: more.requestId,
    ...(more.idempotencyKey !== undefined && { idempotencyKey: more.idempotencyKey }),
    ...(caller.loginSession !== undefined && { loginSession: caller.loginSession }),
  };
}

/** The agent that a session belongs to, by its uid: one made again under the name is another. */
export function agentOf(services: Services, uid: string): Stored<'Agent'> | undefined {
  const found = services.registry.byUid(uid);
  return found?.kind === 'Agent' ? found : undefined;
}
