const MAX_NAMED = 20;

/** A server or tool that an agent is bound to and does not have now, and why. Without `tool`: the whole server. */
export interface MissingTool {
  server: string;
  tool?: string;
  problem: string;
}

/** Each of them by name, for a condition and for the person who talks to the agent. */
export function missingText(missing: readonly MissingTool[]): string {
  const named = missing
    .slice(0, MAX_NAMED)
    .map(({ server, tool, problem }) => `${tool === undefined ? server : `${server}/${tool}`} (${problem})`);
  const more = missing.length > MAX_NAMED ? ` and ${missing.length - MAX_NAMED} more` : '';
  return `works without ${named.join(', ')}${more}`;
}
