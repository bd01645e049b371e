import type { Profile } from './profile.ts';
import { audienceOnly, exchangeFields, rfc8693, scopeFields, standardCode, workloadFields } from './rfc8693.ts';

/**
 * Dex: the connector that knows the subject token's issuer is required; audience and resource are ignored, so
 * `audience` only says what the result must name. The answer has no scope.
 */
export const dex: Profile = {
  ...rfc8693,
  name: 'dex',
  defaultDelegation: () => 'none',
  delegations: ['none'],
  configProblem: ({ connectorId }) =>
    connectorId === undefined || connectorId === '' ? 'this token service needs a connectorId' : undefined,
  targetProblem: audienceOnly,
  exchangeForm: (input) => [
    ...exchangeFields({ ...input, actor: undefined }),
    ['connector_id', input.service.connectorId ?? ''],
    ...scopeFields(input.target),
  ],
  workloadForm: (input) => [...workloadFields(input), ...scopeFields(input.target)],
  subjectMatches: ({ sub }, { subject }, { connectorId = '' }) =>
    sub === subject || sub === dexSubject(subject, connectorId),
  // 401 is also how it says that the connector does not accept the subject token
  codeOf: (failure) => (failure.error === 'access_denied' ? 'subject_rejected' : standardCode(failure)),
};

/** The `sub` of Dex: a protocol buffer of the connector's user (field 1) and the connector (field 2). */
export function dexSubject(user: string, connector: string): string {
  const encoder = new TextEncoder();
  const bytes = [user, connector].flatMap((value, at) => {
    const text = encoder.encode(value);
    return [((at + 1) << 3) | 2, ...varint(text.length), ...text];
  });
  return btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '');
}

function varint(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...varint(value >>> 7)];
}
