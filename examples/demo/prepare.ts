import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ApplyResult, kinds, parseDocuments, type Resource, type ResourceInput } from '@onbehalf/resources';
import { adminCall } from './api.ts';
import type { ToolProcess } from './tool-processes.ts';

export const USERS = [
  { subject: 'alice', name: 'Alice', role: 'REGULAR' },
  { subject: 'bob', name: 'Bob', role: 'REGULAR' },
  { subject: 'root', name: 'Root', role: 'ADMIN' },
  { subject: 'mallory', name: 'Mallory', role: 'INACTIVE' },
] as const;

export interface ToolServers {
  orders: ToolProcess;
  hr: ToolProcess;
}

const SOURCE = join(import.meta.dirname, '..', 'demo.yaml');
const portOf = (url: string) => Number(new URL(url).port);

/** The ports of the tool servers: those of the last start on this data directory, else those of examples/demo.yaml. */
export function wantedPorts(dataDir: string): { orders: number; hr: number; port?: number } {
  const path = join(dataDir, 'demo.json');
  if (!existsSync(path)) return { orders: 9201, hr: 9202 };
  return JSON.parse(readFileSync(path, 'utf8')) as { orders: number; hr: number; port?: number };
}

export interface Prepared {
  /** What was applied: examples/demo.yaml, or a file in the data directory where the tool servers have other ports. */
  file: string;
  /** Whether everything is as the file says, so that the demo knows what is right. */
  asShipped: boolean;
}

/**
 * The demo's people and resources. A later start leaves everything as it was, whatever people made of it; but the tool
 * servers may be elsewhere by now, and the model another.
 */
export async function prepare(socket: string, dataDir: string, port: number, servers: ToolServers): Promise<Prepared> {
  const begun = existsSync(join(dataDir, 'demo.json'));
  if (!begun) await makeUsers(socket);
  const usual = readFileSync(SOURCE, 'utf8');
  const text = usual
    .replaceAll('http://127.0.0.1:9201/mcp', servers.orders.url)
    .replaceAll('http://127.0.0.1:9202/mcp', servers.hr.url);
  const file = text === usual ? SOURCE : join(dataDir, 'demo.yaml');
  if (file !== SOURCE) writeFileSync(file, text);
  const model = await read(socket, { kind: 'ModelConfig', metadata: { name: 'default' } });
  const documents: ResourceInput[] = [];
  const shipped = parseDocuments(text, file).documents.map(({ input }) => input);
  for (const input of shipped) {
    const there = await read(socket, input);
    if (there === undefined ? !begun || input.kind === 'ModelConfig' : moved(input, there) || usesAnother(there, model))
      documents.push(input);
  }
  if (documents.length > 0) {
    const body = { documents, file: 'examples/demo.yaml', rebind: documents.some(({ kind }) => kind === 'Grant') };
    const applied = await adminCall<{ detail?: string; errors?: unknown }>(socket, 'POST', '/apply', body);
    if (applied.status !== 200) throw new Error(`${file} was refused: ${JSON.stringify(applied.body)}`);
  }
  for (const name of ['orders', 'hr']) await discovered(socket, name);
  const ports = { port, orders: portOf(servers.orders.url), hr: portOf(servers.hr.url) };
  writeFileSync(join(dataDir, 'demo.json'), JSON.stringify(ports));
  const dry = { documents: shipped, file: 'examples/demo.yaml', dryRun: true };
  const compared = await adminCall<Partial<ApplyResult>>(socket, 'POST', '/apply', dry);
  const asShipped = compared.body.results?.every(({ action }) => action === 'unchanged') === true;
  return { file, asShipped };
}

async function makeUsers(socket: string): Promise<void> {
  for (const user of USERS) {
    const { status, body } = await adminCall<{ code?: string }>(socket, 'POST', '/principals', user);
    if (status !== 201 && body.code !== 'already_exists')
      throw new Error(`user ${user.subject} could not be made: ${JSON.stringify(body)}`);
  }
}

async function read(
  socket: string,
  { kind, metadata }: Pick<ResourceInput, 'kind'> & { metadata: { name: string } },
): Promise<Resource | undefined> {
  const { status, body } = await adminCall<Resource>(socket, 'GET', `/${kinds[kind].plural}/${metadata.name}`);
  return status === 200 ? body : undefined;
}

const moved = (input: ResourceInput, there: Resource) =>
  input.kind === 'RemoteMCPServer' && there.kind === 'RemoteMCPServer' && input.spec.url !== there.spec.url;

/** The Grant to use the model that was: the planner makes way for LiteLLM, and comes back. */
const usesAnother = (there: Resource, model: Resource | undefined) =>
  there.kind === 'Grant' && there.spec.on.kind === 'ModelConfig' && there.status.targetUid !== model?.metadata.uid;

async function discovered(socket: string, name: string): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const { status, body } = await adminCall<Resource>(socket, 'GET', `/mcp-servers/${name}`);
    // Somebody has taken it out of the demo.
    if (status === 404) return;
    const condition = body.status.conditions?.find(({ type }) => type === 'ToolsDiscovered');
    if (condition?.status === 'True' && condition.observedGeneration === body.metadata.generation) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`the tools of ${name} were not found`);
}

/** The provider of the ModelConfig `default`, which the demo's agent uses. */
export async function modelProvider(socket: string): Promise<string | undefined> {
  const { status, body } = await adminCall<Resource>(socket, 'GET', '/model-configs/default');
  return status === 200 && body.kind === 'ModelConfig' ? body.spec.provider : undefined;
}

/** An earlier start without LiteLLM has left its own ModelConfig, which the one of the environment never replaces. */
export async function dropDemoPlanner(socket: string): Promise<boolean> {
  if ((await modelProvider(socket)) !== 'Demo') return false;
  const dropped = await adminCall<{ detail?: string }>(socket, 'DELETE', '/model-configs/default');
  if (dropped.status >= 300) throw new Error(`the demo planner could not be replaced: ${dropped.body?.detail ?? ''}`);
  return true;
}
