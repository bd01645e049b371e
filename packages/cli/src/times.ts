import { milliseconds } from '@onbehalf/resources';
import { InvalidArgumentError } from 'commander';
import { CliError } from './error.ts';

/** ISO 8601 of a time that was written as such, or as how long ago it was. */
export function sinceText(text: string | undefined, now: number): string | undefined {
  if (text === undefined) return undefined;
  if (/^\d+(ms|s|m|h|d)$/.test(text)) return new Date(now - milliseconds(text)).toISOString();
  if (Number.isNaN(Date.parse(text)))
    throw new CliError('usage', `${text} is no time: write 2h, 7d or 2026-11-22T09:00:00Z`);
  return new Date(text).toISOString();
}

/** The value of `--limit`. */
export function limitNumber(text: string): number {
  const limit = Number(text);
  if (!/^\d{1,3}$/.test(text) || limit < 1 || limit > 500)
    throw new InvalidArgumentError('must be a number from 1 to 500');
  return limit;
}
