import { CodedError, type DocumentError } from '@onbehalf/resources';

export type ControlErrorCode =
  | 'forbidden'
  | 'not_found' // or hidden: the two look alike
  | 'already_exists'
  | 'stale_resource_version'
  | 'managed_elsewhere' // a file, the environment or the cluster has it
  | 'invalid_documents';

/** Why nothing was written. `errors`: each mistake with its place. */
export class ControlError extends CodedError<ControlErrorCode> {
  readonly errors: readonly DocumentError[] | undefined;

  constructor(code: ControlErrorCode, message: string, errors?: readonly DocumentError[]) {
    super(code, message);
    this.errors = errors;
  }
}
