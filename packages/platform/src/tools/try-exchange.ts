import { type AgentIdentity, type ExchangeTrial, qualifiedName, tokenServiceNameOf } from '@onbehalf/resources';
import { type SubjectSource, TokenExchangeError } from '@onbehalf/token-exchange';
import { adviceFor } from './advice.ts';
import { ToolError } from './errors.ts';
import type { McpServer, PlatformIdentity } from './ports.ts';
import { exchangeTarget } from './target.ts';
import type { TokenServices } from './token-services.ts';

export interface TrialRequest {
  server: McpServer;
  target: Parameters<typeof exchangeTarget>[1];
  subject: SubjectSource;
  agent: AgentIdentity;
  signal: AbortSignal;
}

/** Exchanges once as the caller, shows what came back, and throws the token away. The tool server is not called. */
export async function tryExchange(
  tokenServices: TokenServices,
  platform: PlatformIdentity,
  request: TrialRequest,
): Promise<ExchangeTrial> {
  const { server, agent, subject, signal } = request;
  const target = exchangeTarget(server, request.target);
  const session = `trial ${crypto.randomUUID()}`;
  const asked = { audience: [...target.audience], resource: [...target.resource], scopes: [...target.scopes] };
  let profile = '';
  try {
    const { exchange, resource } = tokenServices.get(tokenServiceNameOf(server.spec));
    profile = resource.spec.profile;
    const token = await exchange.token({
      subject,
      target,
      session,
      signal,
      agent: { uid: agent.uid, name: qualifiedName(agent) },
      actor: platform.actorFor(agent),
      context: { serverUid: server.metadata.uid },
    });
    exchange.forget({ session });
    return { ok: true, profile, asked, claims: { ...token.claims }, ms: Math.round(token.ms) };
  } catch (error) {
    if (error instanceof ToolError)
      return {
        ok: false,
        profile,
        asked,
        code: error.code,
        message: error.message,
        actBy: error.actBy,
        advice: error.message,
      };
    if (!(error instanceof TokenExchangeError)) throw error;
    const { code, message, actBy, deviation, serviceError } = error;
    return {
      ok: false,
      profile,
      asked,
      code,
      message,
      actBy,
      advice: adviceFor(profile, error),
      ...(deviation !== undefined && { deviation }),
      ...(serviceError && {
        service: {
          status: serviceError.status,
          ...(serviceError.error !== undefined && { error: serviceError.error }),
          ...(serviceError.description !== undefined && { description: serviceError.description }),
        },
      }),
      ...(error.claims && { claims: { ...error.claims } }),
    };
  }
}
