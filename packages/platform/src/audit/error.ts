import { CodedError } from '@onbehalf/resources';

export type AuditErrorCode =
  | 'audit_unavailable' // the line could not be made durable: what it is about must not happen
  | 'witness_contradicts' // the witness holds a checkpoint that the store does not have, or has otherwise
  | 'witness_unreachable'
  | 'witness_agrees'; // there is nothing to accept

export class AuditError extends CodedError<AuditErrorCode> {
  constructor(code: AuditErrorCode, message: string, cause?: unknown) {
    super(code, message, { cause });
  }
}
