/** The fake token service in a process of its own, so that its work is on neither side of a comparison. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { SecretValue } from '@onbehalf/secret-value';
import type { ActorSource, SubjectSource } from '@onbehalf/token-exchange';
import { startFakeTokenService } from '@onbehalf/token-exchange/testing';

const LIFE = 3_600;
const AGENT = { uid: 'agent-1', name: 'default/assistant' };

interface Started {
  issuer: string;
  endpoint: string;
  jwksUri: string;
  actor: string;
}

export interface RemoteTokenService extends Omit<Started, 'actor'>, AsyncDisposable {
  readonly agent: typeof AGENT;
  /** Signed once: making it is its owner's work, and it is good for a minute or more. */
  readonly actor: ActorSource;
  user(name: string): Promise<SubjectSource>;
  /** Requests at the token endpoint so far. */
  count(): Promise<number>;
}

export async function startRemoteTokenService(): Promise<RemoteTokenService> {
  const child = fork(import.meta.filename, { execArgv: ['--conditions=onbehalf-source'] });
  const { actor, ...started } = (await answer(child)) as Started;
  const actorToken = SecretValue.of(actor);
  const ask = (what: object) => {
    child.send(what);
    return answer(child);
  };
  return {
    ...started,
    agent: AGENT,
    actor: {
      identity: { iss: 'https://platform.example', sub: `agent:${AGENT.name}`, agentUid: AGENT.uid },
      current: async () => ({ token: actorToken, tokenType: 'urn:ietf:params:oauth:token-type:jwt' }),
    },
    async user(name) {
      const token = SecretValue.of(String(await ask({ user: name })));
      const expiresAt = Date.now() + LIFE * 1_000;
      const tokenType = 'urn:ietf:params:oauth:token-type:access_token';
      const principal = { issuer: started.issuer, subject: name };
      return { principal, refreshable: false, current: async () => ({ token, tokenType, expiresAt }) };
    },
    count: async () => Number(await ask({ count: true })),
    async [Symbol.asyncDispose]() {
      child.disconnect();
      await once(child, 'exit');
    },
  };
}

async function answer(child: ChildProcess): Promise<unknown> {
  const [message] = await once(child, 'message');
  return message;
}

async function serve(): Promise<void> {
  const service = await startFakeTokenService();
  const { token } = await service.actor(AGENT).current(service.issuer);
  const { issuer, endpoint, jwksUri } = service;
  process.send?.({ issuer, endpoint, jwksUri, actor: token.reveal() } satisfies Started);
  process.on('message', async (message: { user?: string }) => {
    // What it records of each request is for tests.
    service.requests.length = 0;
    if (message.user === undefined) return process.send?.(service.counts.token);
    const person = await (await service.user(message.user, { lifetime: LIFE })).current();
    return process.send?.(person.token.reveal());
  });
  process.once('disconnect', () => void service.close());
}

if (import.meta.main) await serve();
