import { createMCPClient } from '@ai-sdk/mcp';
import { forEverybody, identityFetch, url } from '../person.mjs';

const client = await createMCPClient({ transport: { type: 'http', url, fetch: identityFetch } });
const tools = await client.tools();
await forEverybody(() => tools.list_orders.execute({}, { toolCallId: crypto.randomUUID(), messages: [] }));
await client.close();
