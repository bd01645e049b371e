import { SecretValue } from '@onbehalf/secret-value';
import {
  type AgentRef,
  createTokenExchange,
  type ExchangeOutcome,
  type SecretBasic,
  type Target,
  TokenExchangeError,
  type TokenExchangeErrorCode,
  type TokenExchangeOptions,
  type TokenServiceConfig,
} from '@onbehalf/token-exchange';
import { type FakeTokenService, startFakeTokenService } from '@onbehalf/token-exchange/testing';

export const assistant: AgentRef = { uid: 'uid-assistant', name: 'default/assistant' };
export const researcher: AgentRef = { uid: 'uid-researcher', name: 'default/researcher' };

export const orders: Target = {
  name: 'orders',
  audience: [],
  resource: ['https://orders.internal/mcp'],
  scopes: ['orders.read'],
};
export const leave: Target = { name: 'leave', audience: ['leave-api'], resource: [], scopes: [] };

export const client: SecretBasic = {
  auth: 'SecretBasic',
  id: 'platform',
  keyId: '1',
  secret: SecretValue.of('platform-secret'),
};

export interface Setup extends AsyncDisposable {
  readonly service: FakeTokenService;
  readonly outcomes: ExchangeOutcome[];
  readonly hits: ExchangeOutcome[];
  exchange(
    config?: Partial<TokenServiceConfig>,
    options?: Partial<TokenExchangeOptions>,
  ): ReturnType<typeof createTokenExchange>;
}

/** One token service and exchanges that talk to it as the assistant. */
export async function setup(options: Parameters<typeof startFakeTokenService>[0] = {}): Promise<Setup> {
  const service = await startFakeTokenService(options);
  const outcomes: ExchangeOutcome[] = [];
  const hits: ExchangeOutcome[] = [];
  return {
    service,
    outcomes,
    hits,
    exchange: (config = {}, more = {}) =>
      createTokenExchange({
        tokenService: { name: 'sts', issuer: service.issuer, profile: 'onbehalf', client, ...config },
        actor: service.actor(assistant),
        agent: assistant,
        random: () => 0,
        hooks: {
          onOutcome: (outcome) => void outcomes.push(outcome),
          onHit: (outcome) => void hits.push(outcome),
        },
        ...more,
      }),
    [Symbol.asyncDispose]: () => service.close(),
  };
}

/** For `assert.rejects`: the error has this code, and nothing of it shows a token. */
export function refusedAs(code: TokenExchangeErrorCode, deviation?: string): (error: unknown) => boolean {
  return (error) => {
    if (!(error instanceof TokenExchangeError)) throw error;
    if (error.code !== code || (deviation !== undefined && error.deviation !== deviation)) throw error;
    return true;
  };
}

export function manualClock(start = 1_000_000): { monotonic: () => number; advance(milliseconds: number): void } {
  let value = start;
  return {
    monotonic: () => value,
    advance: (milliseconds) => {
      value += milliseconds;
    },
  };
}
