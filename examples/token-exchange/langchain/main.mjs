import { loadMcpTools } from '@langchain/mcp-adapters';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { forEverybody, identityFetch, url } from '../person.mjs';

// MultiServerMCPClient takes headers only, so the client is made here and its tools are loaded.
const client = new Client({ name: 'example', version: '1.0.0' });
await client.connect(new StreamableHTTPClientTransport(new URL(url), { fetch: identityFetch }));
const tools = await loadMcpTools('shop', client);
const orders = tools.find(({ name }) => name === 'list_orders');
await forEverybody(() => orders.invoke({}));
await client.close();
