import { MCPServerStreamableHttp } from '@openai/agents';
import { forEverybody, identityFetch, url } from '../person.mjs';

const server = new MCPServerStreamableHttp({ name: 'shop', url, fetch: identityFetch });
await server.connect();
await forEverybody(() => server.callTool('list_orders', {}));
await server.close();
