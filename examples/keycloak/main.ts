/**
 * The three tool servers of onbehalf.yaml on their ports, for trying out:
 *   node examples/keycloak/main.ts http://127.0.0.1:8080/realms/office
 * It prints the claims of each call that was verified, never the token.
 */
import { startKeycloakToolServer } from './tool-server.ts';

const issuer = process.argv[2] ?? 'http://127.0.0.1:8080/realms/office';
const tools = [
  ['orders', 9301, 'list_orders', 'Lists the orders of the person who asks'],
  ['hr', 9302, 'get_balance', 'Shows how many vacation days the person has left'],
  ['payroll', 9303, 'get_salary', 'Shows the salary of the person who asks'],
] as const;

for (const [audience, port, name, description] of tools) {
  const { url } = await startKeycloakToolServer({
    issuer,
    audience,
    agents: ['agent-assistant'],
    port,
    tool: { name, description, answer: (person) => ({ [audience]: `of ${person}` }) },
    onSeen: ({ sub, azp, aud }) => console.log(JSON.stringify({ server: audience, sub, azp, aud })),
  });
  console.log(`${audience}: ${url}`);
}
