import { RequestContext } from '@mastra/core/request-context';
import { MCPClient } from '@mastra/mcp';
import { fetchOf, forEverybody, url } from '../person.mjs';

// The third argument is the context of the request that the tool was called in; there is none while connecting.
const fetch = (input, init, context) => fetchOf(context?.get('person'))(input, init);
const client = new MCPClient({ servers: { shop: { url: new URL(url), fetch } } });
const tools = await client.listTools();
await forEverybody((person) => {
  const requestContext = new RequestContext();
  requestContext.set('person', person);
  return tools.shop_list_orders.execute({}, { requestContext });
});
await client.disconnect();
