import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '@onbehalf/client';
import { type ApplyResult, type Kind, kinds, type Resource } from '@onbehalf/resources';
import { type Complaint, complaintsOf } from './complaints.ts';

const POLL_MS = 100;
/** The server looks at what refers to a changed resource a moment after it. */
const CALM_MS = 500;

/**
 * Waits until everything that was written is well, or is not and stays so: conditions of the written generation, and the
 * first listing of each tool server. Returns what is wrong then, or when the time is over.
 */
export async function settled(
  client: Pick<Client, 'list'>,
  results: ApplyResult['results'],
  ms: number,
  signal: AbortSignal,
): Promise<Complaint[]> {
  const written = new Set(results.flatMap(({ uid, action }) => (action === 'deleted' ? [] : [uid])));
  const kindsWritten = [...new Set(results.filter(({ uid }) => written.has(uid)).map(({ kind }) => kind))];
  const deadline = performance.now() + ms;
  let since = performance.now();
  let before: string | undefined;
  for (;;) {
    const resources = await read(client, kindsWritten, written);
    const complaints = resources.flatMap(complaintsOf);
    const looked = resources.every(isLookedAt);
    const wrong = complaints.filter(({ condition }) => condition.type !== 'Accepted');
    const now = JSON.stringify(wrong.map(({ resource, condition }) => [resource.metadata.uid, condition.message]));
    if (!looked || now !== before) since = performance.now();
    // What is well is looked at twice: what refers to it may not have been looked at yet.
    const calm = wrong.length === 0 ? POLL_MS / 2 : CALM_MS;
    if (performance.now() - since > calm || performance.now() > deadline || signal.aborted) return complaints;
    before = now;
    await sleep(POLL_MS);
  }
}

/** One request a kind, however many were written. */
async function read(client: Pick<Client, 'list'>, of: readonly Kind[], written: ReadonlySet<string>) {
  const found: Resource[] = [];
  for (const kind of of) {
    const { items } = await client.list(kinds[kind].plural);
    found.push(...(items as Resource[]).filter(({ metadata }) => written.has(metadata.uid)));
  }
  return found;
}

/** Whether the server has looked at this generation; at tool servers, of their tools as well. */
function isLookedAt({ kind, metadata, spec, status }: Resource): boolean {
  const at = (type: string) => status.conditions?.find((condition) => condition.type === type)?.observedGeneration;
  const listed = kind !== 'RemoteMCPServer' || spec.protocol === 'Stdio' || spec.enabled === false;
  return at('Accepted') === metadata.generation && (listed || at('ToolsDiscovered') === metadata.generation);
}
