import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { JWTPayload } from 'jose';
import { type KeycloakToolServer, startKeycloakToolServer } from '../../examples/keycloak/tool-server.ts';
import type { RunningKeycloak } from '../../tools/keycloak.ts';
import { startWorld } from './world.ts';

/** The Admin REST API of the realm. */
export function realmOf(keycloak: RunningKeycloak) {
  return async <T>(method: string, path: string, body?: unknown): Promise<T> => {
    const response = await fetch(`${keycloak.url}/admin/realms/office${path}`, {
      method,
      headers: { authorization: `Bearer ${await keycloak.adminToken()}`, 'content-type': 'application/json' },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    assert.ok(response.ok, `${method} ${path}: ${response.status} ${text}`);
    return (text === '' ? undefined : JSON.parse(text)) as T;
  };
}

export type SeenAtServers = Record<'orders' | 'hr' | 'payroll', JWTPayload[]>;

/** Our server with examples/keycloak/onbehalf.yaml, in front of a running Keycloak and tool servers that trust it. */
export async function startOurServer(keycloakUrl: string, seen: SeenAtServers) {
  const issuer = `${keycloakUrl}/realms/office`;
  const world = await startWorld({ bare: true });
  const servers: KeycloakToolServer[] = [];
  const start = async (audience: keyof SeenAtServers, name: string, description: string) => {
    const server = await startKeycloakToolServer({
      issuer,
      audience,
      agents: ['agent-assistant'],
      tool: { name, description, answer: (person) => ({ [audience]: `of ${person}` }) },
      onSeen: (claims) => seen[audience].push(claims),
    });
    servers.push(server);
    return server.url;
  };
  const example = join(import.meta.dirname, '..', '..', 'examples', 'keycloak', 'onbehalf.yaml');
  const yaml = (await readFile(example, 'utf8'))
    .replaceAll('http://127.0.0.1:8080', keycloakUrl)
    .replaceAll('http://127.0.0.1:9301/mcp', await start('orders', 'list_orders', 'Lists the orders of a person'))
    .replaceAll('http://127.0.0.1:9302/mcp', await start('hr', 'get_balance', 'Shows vacation days left'))
    .replaceAll('http://127.0.0.1:9303/mcp', await start('payroll', 'get_salary', 'Shows the salary of a person'))
    .replaceAll('http://127.0.0.1:9201/mcp', world.orders.url)
    .replaceAll('http://127.0.0.1:9202/mcp', world.hr.url);
  await world.applied(yaml);
  for (const name of ['orders', 'hr', 'payroll', 'shop', 'leave']) {
    const tested = await world.admin('POST', `/mcp-servers/${name}/actions/test`);
    assert.equal(tested.status, 200, JSON.stringify(tested.body));
  }
  return {
    world,
    async close() {
      for (const server of servers) await server.close();
      await world[Symbol.asyncDispose]();
    },
  };
}
