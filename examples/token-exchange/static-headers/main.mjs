import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { fetchOf, forEverybody, url } from '../person.mjs';
import { startBridge } from './bridge.mjs';

// One bridge for all. The client stands for an SDK that takes a URL and headers, such as the Claude Agent SDK.
const bridge = await startBridge(url);
const clients = new Map();
async function clientOf(person) {
  const headers = bridge.headersFor(fetchOf(person));
  const client = new Client({ name: 'example', version: '1.0.0' });
  await client.connect(new StreamableHTTPClientTransport(new URL(bridge.url), { requestInit: { headers } }));
  return client;
}
await forEverybody(async (person) => {
  if (!clients.has(person)) clients.set(person, clientOf(person));
  return (await clients.get(person)).callTool({ name: 'list_orders', arguments: {} });
});
for (const client of clients.values()) await (await client).close();
await bridge.close();
