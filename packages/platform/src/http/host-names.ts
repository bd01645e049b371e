/** The names of the listener: the public one, and the loopback addresses for programs on the same machine. */
export function hostNames(publicUrl: string): ReadonlySet<string> {
  const { host, port } = new URL(publicUrl);
  const number = port === '' ? '' : `:${port}`;
  return new Set([host, `127.0.0.1${number}`, `localhost${number}`, `[::1]${number}`]);
}
