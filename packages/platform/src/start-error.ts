import { CodedError } from '@onbehalf/resources';

/** Why the server does not start: one line for the operator, with what to do. */
export class StartError extends CodedError<
  'port_in_use' | 'data_dir' | 'public_url_changed' | 'store_lost' | 'socket_path'
> {}
