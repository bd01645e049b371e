import { z } from 'zod';
import { type RunningToolServer, startToolServer, type ToolServerOptions } from './tool-server.ts';

interface TimeOff {
  days: number;
  requests: { from: string; to: string; days: number }[];
}

const DAY_MS = 86_400_000;

/** An MCP server with the time off of the person that the token names. */
export function startHr(options: Pick<ToolServerOptions, 'issuer' | 'port' | 'onSeen'>): Promise<RunningToolServer> {
  const data = new Map<string, TimeOff>();
  const text = (value: unknown) => ({ content: [{ type: 'text' as const, text: JSON.stringify(value) }] });
  return startToolServer({
    ...options,
    name: 'hr',
    register(server, caller) {
      const mine = (): TimeOff => {
        if (!caller) throw new Error('a person is needed');
        const known = data.get(caller.person) ?? { days: 20 + (String(caller.claims.sub).length % 10), requests: [] };
        data.set(caller.person, known);
        return known;
      };
      server.registerTool(
        'get_balance',
        {
          description: 'Shows how many days of vacation, holiday and time off you have left',
          inputSchema: z.object({}),
        },
        async () => {
          caller?.need('hr.read');
          const { days, requests } = mine();
          return text({ employee: caller?.claims.sub, daysLeft: days, requests });
        },
      );
      server.registerTool(
        'request_time_off',
        {
          description: 'Requests vacation days off from one date to another',
          inputSchema: z.object({ from: z.iso.date(), to: z.iso.date() }),
        },
        async ({ from, to }) => {
          caller?.need('hr.write');
          const days = Math.round((Date.parse(to) - Date.parse(from)) / DAY_MS) + 1;
          const known = mine();
          if (days < 1) throw new Error('`to` must not lie before `from`');
          if (days > known.days) throw new Error(`only ${known.days} days are left`);
          known.days -= days;
          known.requests.push({ from, to, days });
          return text({ granted: true, days, daysLeft: known.days });
        },
      );
    },
  });
}
