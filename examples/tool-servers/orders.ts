import { z } from 'zod';
import { type RunningToolServer, startToolServer, type ToolServerOptions } from './tool-server.ts';

interface Order {
  id: string;
  item: string;
  amount: number;
  status: 'delivered' | 'shipped' | 'refunded';
}

/** Everybody starts with orders of their own: what one person sees never holds anything of another's. */
function ordersOf(sub: string): Order[] {
  const first = 1_000 + (Buffer.from(sub).reduce((sum, byte) => sum + byte, 0) % 900) * 10;
  return [
    { id: `A-${first + 1}`, item: `Desk lamp for ${sub}`, amount: 49, status: 'delivered' },
    { id: `A-${first + 2}`, item: `Notebook of ${sub}`, amount: 12, status: 'shipped' },
    { id: `A-${first + 3}`, item: 'Headphones', amount: 129, status: 'delivered' },
  ];
}

/** An MCP server with the orders of the person that the token names. */
export function startOrders(
  options: Pick<ToolServerOptions, 'issuer' | 'port' | 'onSeen'>,
): Promise<RunningToolServer> {
  const data = new Map<string, Order[]>();
  const text = (value: unknown) => ({ content: [{ type: 'text' as const, text: JSON.stringify(value) }] });
  return startToolServer({
    ...options,
    name: 'orders',
    register(server, caller) {
      const mine = () => {
        if (!caller) throw new Error('a person is needed');
        const known = data.get(caller.person) ?? ordersOf(String(caller.claims.sub));
        data.set(caller.person, known);
        return known;
      };
      const find = (id: string) => {
        const order = mine().find((known) => known.id === id);
        if (!order) throw new Error(`you have no order ${id}`);
        return order;
      };
      server.registerTool(
        'list_orders',
        { description: 'Lists the orders that you have placed, with their status', inputSchema: z.object({}) },
        async () => {
          caller?.need('orders.read');
          return text(mine());
        },
      );
      server.registerTool(
        'get_order',
        {
          description: 'Shows the details of one of your orders',
          inputSchema: z.object({ order_id: z.string().describe('such as A-1001') }),
        },
        async ({ order_id }) => {
          caller?.need('orders.read');
          return text(find(order_id));
        },
      );
      server.registerTool(
        'refund_order',
        {
          description: 'Refunds one of your orders and gives the money back',
          inputSchema: z.object({ order_id: z.string().describe('such as A-1001') }),
        },
        async ({ order_id }) => {
          caller?.need('orders.refund');
          const order = find(order_id);
          if (order.status === 'refunded') throw new Error(`${order_id} was refunded already`);
          order.status = 'refunded';
          return text(order);
        },
      );
    },
  });
}
