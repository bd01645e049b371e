/** Why the server does not start: one line for the operator, with what to do. */
export class StartError extends Error {
  override readonly name = 'StartError';
  readonly code: 'port_in_use' | 'data_dir' | 'public_url_changed' | 'store_lost' | 'socket_path';

  constructor(code: StartError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
