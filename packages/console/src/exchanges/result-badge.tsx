import type { ExchangeView } from '@onbehalf/resources';
import { Badge, type Tone } from '../ui/badge.tsx';
import { milliseconds } from '../ui/time.tsx';

const TONES: Record<ExchangeView['result'], Tone> = {
  exchanged: 'accent',
  cached: 'good',
  joined: 'good',
  refused: 'bad',
};

export const exchangeResults = Object.keys(TONES) as ExchangeView['result'][];

const ACTORS: Readonly<Record<string, string>> = {
  user: 'You can mend this',
  administrator: 'An administrator must act',
  tokenService: 'The token service must act',
  toolServer: 'The tool server must act',
};

/** Whom a failure waits for. */
export const whoMustAct = (actBy: string): string => ACTORS[actBy] ?? `${actBy} must act`;

export function ResultBadge({ exchange }: { exchange: ExchangeView }) {
  const { result, ms, code } = exchange;
  const text =
    result === 'exchanged'
      ? `exchanged${ms === undefined ? '' : ` in ${milliseconds(ms)}`}`
      : result === 'refused'
        ? `refused${code === undefined ? '' : `: ${code}`}`
        : result === 'joined'
          ? 'joined an exchange under way'
          : 'cached';
  return <Badge tone={TONES[result]}>{text}</Badge>;
}
