import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { forEverybody, identityFetch, url } from '../person.mjs';

const client = new Client({ name: 'example', version: '1.0.0' });
await client.connect(new StreamableHTTPClientTransport(new URL(url), { fetch: identityFetch }));
await forEverybody(() => client.callTool({ name: 'list_orders', arguments: {} }));
await client.close();
