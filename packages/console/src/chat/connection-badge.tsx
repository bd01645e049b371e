import type { Connection } from '@onbehalf/client';
import { Badge, Dot, type Tone } from '../ui/badge.tsx';

const CLOSED: Readonly<Record<string, string>> = {
  unauthenticated: 'Your sign-in has ended',
  forbidden: 'You may no longer talk to this agent',
  revoked: 'Your access was taken away',
  not_found: 'This conversation is gone',
  failed: 'The connection failed',
  closed_by_caller: 'Closed',
};

export function describeConnection(connection: Connection): { tone: Tone; text: string; pulse: boolean } {
  switch (connection.state) {
    case 'open':
      return { tone: 'good', text: 'Connected', pulse: false };
    case 'connecting':
      return { tone: 'neutral', text: 'Connecting', pulse: true };
    case 'reconnecting':
      return {
        tone: 'warn',
        text: connection.closeCode === 4401 ? 'Your sign-in is being renewed' : 'Connection lost. Reconnecting',
        pulse: true,
      };
    case 'closed':
      return { tone: 'bad', text: CLOSED[connection.reason] ?? connection.reason, pulse: false };
  }
}

export function ConnectionBadge({ connection }: { connection: Connection }) {
  const { tone, text, pulse } = describeConnection(connection);
  return (
    <span role="status" data-connection={connection.state}>
      <Badge tone={tone}>
        <Dot tone={tone} pulse={pulse} />
        <span className={connection.state === 'open' ? 'max-sm:sr-only' : ''}>{text}</span>
      </Badge>
    </span>
  );
}
