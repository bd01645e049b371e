import type {
  ActorIdentity,
  ClientConfig,
  Delegation,
  ExchangeKind,
  PrincipalRef,
  TokenServiceConfig,
} from './types.ts';

/*
 * The key holds every input that can change the answer. Each value is written with its length in front, so no two
 * different inputs can meet by concatenation; the parts that stay the same between calls are made once.
 */

export function encode(value: string | undefined): string {
  return value === undefined ? '-' : `${value.length}:${value}`;
}

/** A set: order does not matter. */
export function encodeList(values: readonly string[]): string {
  return encodeSequence([...values].sort());
}

function encodeSequence(values: readonly string[]): string {
  return `${values.length};${values.map(encode).join('')}`;
}

export function servicePart(
  installation: string | undefined,
  service: TokenServiceConfig,
  delegation: Delegation,
  maxLifetime: number,
): string {
  return [
    installation,
    service.name,
    service.issuer,
    service.wellKnownUri,
    service.endpoint,
    service.jwksUri,
    service.profile,
    delegation,
    service.requestedTokenType,
    String(maxLifetime),
    String(service.introspect ?? false),
    service.opaque ?? 'Refuse',
    service.connectorId,
    service.subjectTokenType,
    service.actorTokenType,
  ]
    .map(encode)
    .join('');
}

export function clientPart(client: ClientConfig): string {
  return encode(client.auth) + encode(client.id) + encode(client.keyId);
}

export function actorPart(
  identity: ActorIdentity | undefined,
  tokenType: string | undefined,
  fixedTokenHash: string | undefined,
): string {
  if (identity === undefined) return '-';
  const chain = identity.chain === undefined ? '-' : encodeSequence(identity.chain);
  return `a${encode(identity.iss)}${encode(identity.sub)}${encode(identity.agentUid)}${chain}${encode(tokenType)}${encode(fixedTokenHash)}`;
}

export interface CallPart {
  readonly kind: ExchangeKind;
  readonly agentUid: string | undefined;
  readonly agentName: string | undefined;
  readonly session: string | undefined;
  readonly principal: PrincipalRef | undefined;
  readonly subjectHash: string | undefined;
  readonly subjectType: string | undefined;
  readonly delegate: string | undefined;
  /** Thumbprint of a DPoP key (RFC 9449), once there is one. */
  readonly keyThumbprint?: string | undefined;
}

export function cacheKey(service: string, client: string, actor: string, target: string, call: CallPart): string {
  return (
    service +
    client +
    actor +
    target +
    encode(call.kind) +
    encode(call.agentUid) +
    encode(call.agentName) +
    encode(call.session) +
    encode(call.principal?.issuer) +
    encode(call.principal?.subject) +
    encode(call.subjectHash) +
    encode(call.subjectType) +
    encode(call.delegate) +
    encode(call.keyThumbprint)
  );
}
