/** One turn as the demo shows it: what was called, and what the tool server itself saw in the token. */
export interface DemoTurn {
  user: string;
  agent: string;
  session: string;
  state: string;
  /** Why it did not end well. */
  problem?: string | undefined;
  text: string;
  /** Exchanges that the token service had seen when this turn began. */
  exchangesBefore: number;
  toolCalls: {
    server: string;
    tool: string;
    seenByServer:
      | { iss: unknown; sub: unknown; act: unknown; aud: unknown; scope: unknown; lifetimeS: number }
      | undefined;
    exchange: 'exchanged' | 'cached';
    ms: number;
  }[];
}

const actSub = (act: unknown) => (typeof act === 'object' && act !== null && 'sub' in act ? String(act.sub) : '');

/** As a person reads it. */
export function printTurn(turn: DemoTurn, message: string): string[] {
  return [
    `${turn.user}: ${message}`,
    ...turn.toolCalls.flatMap((call) => [
      `  → ${call.server}.${call.tool}   token ${call.exchange}${call.exchange === 'exchanged' ? ` in ${call.ms} ms` : ''}`,
      ...(call.seenByServer
        ? [
            `      ${call.server} verified: sub=${call.seenByServer.sub}  act.sub=${actSub(call.seenByServer.act)}  aud=${call.seenByServer.aud}`,
            `      scope="${call.seenByServer.scope}"  lifetime=${call.seenByServer.lifetimeS} s  iss=${call.seenByServer.iss}`,
          ]
        : [`      ${call.server} saw no such call`]),
    ]),
    ...turn.text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => `  ${line.length > 160 ? `${line.slice(0, 157)}…` : line}`),
  ];
}

/** What the calls of the demo need, and so all that their tokens may carry. */
const NEEDED: Readonly<Record<string, string>> = {
  'orders.list_orders': 'orders.read',
  'orders.get_order': 'orders.read',
  'hr.get_balance': 'hr.read',
};

/** What would be wrong with the product if it were so. An empty list is the proof that the demo gives. */
export function problemsOf(
  turns: readonly DemoTurn[],
  summary: { tokenServiceRequests: number; audit: { verified: boolean } },
): string[] {
  const problems: string[] = [];
  const check = (holds: boolean, what: string) => void (holds || problems.push(what));
  const [alice, bob] = turns;
  const pairs = new Set<string>();
  for (const turn of turns) {
    check(
      turn.state === 'completed',
      `the turn of ${turn.user} ended ${turn.state}${turn.problem === undefined ? '' : `: ${turn.problem}`}`,
    );
    // One cause, one line: the rest would only follow from it.
    if (turn.state !== 'completed') continue;
    const servers = new Set<string>();
    for (const call of turn.toolCalls) {
      const { seenByServer: seen } = call;
      check(seen !== undefined, `${call.server} did not see the call of ${turn.user}`);
      check(seen?.sub === turn.user, `${call.server} saw ${seen?.sub} instead of ${turn.user}`);
      check(actSub(seen?.act) === 'agent:default/assistant', `${call.server} saw another agent`);
      const scope = NEEDED[`${call.server}.${call.tool}`];
      check(scope === undefined || seen?.scope === scope, `${call.tool} had the scope "${seen?.scope}"`);
      check((seen?.lifetimeS ?? 301) <= 300, `a token for ${call.server} lives too long`);
      check(
        (call.exchange === 'cached') === servers.has(call.server),
        `${turn.user} at ${call.server}: ${call.exchange}`,
      );
      servers.add(call.server);
      pairs.add(`${turn.session} ${String(seen?.aud)}`);
    }
    check(servers.size === 2, `${turn.user} did not reach both servers`);
    check(turn.toolCalls.length > servers.size, `${turn.user} called no server twice`);
  }
  const audiences = new Set(turns.flatMap((turn) => turn.toolCalls.map((call) => String(call.seenByServer?.aud))));
  const completed = turns.every(({ state }) => state === 'completed');
  check(!completed || audiences.size === 2, 'the two servers do not differ in aud');
  check(alice?.session !== bob?.session, 'the two people share a session');
  check(alice?.exchangesBefore === 0, 'something was exchanged before the first tool call');
  check(
    summary.tokenServiceRequests === pairs.size,
    `${summary.tokenServiceRequests} exchanges for ${pairs.size} pairs of session and target`,
  );
  check(summary.audit.verified, 'the audit chain does not verify');
  return problems;
}
