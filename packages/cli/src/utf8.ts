import { isUtf8 } from 'node:buffer';
import { CliError } from './error.ts';

/** The first line, counted from 1, that holds bytes which are no UTF-8. */
export function lineThatIsNoUtf8(bytes: Buffer): number | undefined {
  if (isUtf8(bytes)) return undefined;
  // No character of UTF-8 holds the byte of a line break, so that lines can be looked at one by one.
  for (let line = 1, from = 0; ; line++) {
    const end = bytes.indexOf(0x0a, from);
    if (!isUtf8(bytes.subarray(from, end === -1 ? bytes.length : end))) return line;
    from = end + 1;
  }
}

/** @throws {CliError} What is no UTF-8 would reach the server as something else. */
export function utf8Text(bytes: Buffer, name: string): string {
  const line = lineThatIsNoUtf8(bytes);
  if (line === undefined) return bytes.toString('utf8');
  throw new CliError('usage', `${name}: line ${line} holds bytes that are not UTF-8`, `iconv -t UTF-8 ${name}`);
}
