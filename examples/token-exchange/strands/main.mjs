import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { McpClient } from '@strands-agents/sdk';
import { forEverybody, identityFetch, url } from '../person.mjs';

const transport = new StreamableHTTPClientTransport(new URL(url), { fetch: identityFetch });
const client = new McpClient({ transport });
const tools = await client.listTools();
const orders = tools.find(({ name }) => name === 'list_orders');
await forEverybody(() => client.callTool(orders, {}));
await client.disconnect();
