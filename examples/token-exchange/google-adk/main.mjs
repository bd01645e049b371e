import { MCPToolset } from '@google/adk';
import { forEverybody, identityFetch, url } from '../person.mjs';

// It opens a session for each call, so requests of the session itself are made for the person too.
const toolset = new MCPToolset({
  type: 'StreamableHTTPConnectionParams',
  url,
  transportOptions: { fetch: identityFetch },
});
const tools = await toolset.getTools();
const orders = tools.find(({ name }) => name === 'list_orders');
await forEverybody(() => orders.runAsync({ args: {}, toolContext: {} }));
await toolset.close();
