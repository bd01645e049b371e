import { randomBytes } from 'node:crypto';
import { authorizeFor, type Policy } from '../policy/index.ts';
import type { TurnInput } from '../runtime/index.ts';
import type { Vault } from '../vault/index.ts';
import type { Caller } from './caller.ts';

export interface TurnInputPorts {
  policy: Policy;
  keyedHash: Vault['keyedHash'];
  now: () => number;
}

export function turnInput(
  { policy, keyedHash, now }: TurnInputPorts,
  caller: Caller,
  session: string,
  message: { content: string; source?: string | undefined },
  more: {
    door: string;
    requestId: string;
    idempotencyKey?: string | undefined;
    /** As the request brought it; what is not well-formed begins a trace of its own. */
    traceparent?: string | string[] | undefined;
  },
): TurnInput {
  const { principal } = caller;
  const { credential } = principal;
  const hashOf = (text: string) => {
    const { key, hash } = keyedHash(text);
    return `${key}:${hash}`;
  };
  return {
    session,
    content: message.content,
    ...(message.source !== undefined && { source: message.source }),
    caller: {
      issuer: principal.issuer,
      subject: principal.subject,
      ...(principal.name !== undefined && { name: principal.name }),
      endUser: keyedHash(`${principal.issuer}\n${principal.subject}`).hash,
      audit: {
        issuer: principal.issuer,
        subject: principal.subject,
        ...(credential.sid !== undefined && { sid: credential.sid }),
        ...(credential.jti !== undefined && { jti: credential.jti }),
        ...(credential.azp !== undefined && { azp: credential.azp }),
        ...(credential.authTime !== undefined && { authTime: credential.authTime }),
        ...(credential.amr && { amr: credential.amr }),
        ...(credential.tokenHash !== undefined && { tokenHash: hashOf(credential.tokenHash) }),
      },
    },
    subject: caller.subject,
    authorize: authorizeFor(policy, principal, now),
    door: more.door,
    requestId: more.requestId,
    traceId: traceIdOf(more.traceparent),
    ...(more.idempotencyKey !== undefined && { idempotencyKey: more.idempotencyKey }),
    ...(caller.loginSession !== undefined && { loginSession: caller.loginSession }),
  };
}

/** W3C Trace Context, section 3.2: version 00, and no id of zeros. */
const TRACEPARENT = /^00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

function traceIdOf(traceparent: string | string[] | undefined): string {
  const given = typeof traceparent === 'string' ? TRACEPARENT.exec(traceparent)?.[1] : undefined;
  return given ?? randomBytes(16).toString('hex');
}
