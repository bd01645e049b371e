import { ApiError, type Connection, type OpenSession } from '@onbehalf/client';
import type { SessionEvent } from '@onbehalf/resources';
import { useEffect, useReducer, useRef, useState } from 'react';
import { askWhoIsSignedIn, client } from '../api/client.ts';
import { addEvents, emptyTranscript, isRunning } from './transcript.ts';

/** Events of one frame are drawn together. */
const BATCH_MS = 16;

/** A conversation as it stands, and what one can do in it. It comes back by itself after a cut, without loss or doubling. */
export function useConversation(agent: string, session: string) {
  const [transcript, add] = useReducer(addEvents, emptyTranscript);
  const [connection, setConnection] = useState<Connection>({ state: 'connecting' });
  const [opening, setOpening] = useState(0);
  const [pending, setPending] = useState<{ text: string; turns: number }>();
  const [problem, setProblem] = useState<string>();
  const open = useRef<OpenSession>(undefined);
  const lastSeq = useRef(0);

  // biome-ignore lint/correctness/useExhaustiveDependencies: `opening` opens it anew.
  useEffect(() => {
    let waiting: SessionEvent[] = [];
    let timer: ReturnType<typeof setTimeout> | undefined;
    const conversation = client.openSession({ agent, session, after: lastSeq.current });
    open.current = conversation;
    conversation.onConnection((next) => {
      setConnection(next);
      if (next.state === 'closed' && next.reason !== 'closed_by_caller') askWhoIsSignedIn();
    });
    conversation.onNotice((notice) => {
      if (notice.type === 'error') setProblem(notice.message);
    });
    conversation.onEvent((event) => {
      waiting.push(event);
      lastSeq.current = event.seq;
      timer ??= setTimeout(() => {
        timer = undefined;
        add(waiting);
        waiting = [];
      }, BATCH_MS);
    });
    return () => {
      clearTimeout(timer);
      if (waiting.length > 0) add(waiting);
      conversation.close();
    };
  }, [agent, session, opening]);

  async function guarded(act: () => Promise<unknown>): Promise<boolean> {
    setProblem(undefined);
    try {
      await act();
      return true;
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) askWhoIsSignedIn();
      setProblem(error instanceof ApiError ? error.message : 'The message could not be sent.');
      return false;
    }
  }

  const last = transcript.turns.at(-1);
  return {
    turns: transcript.turns,
    connection,
    problem,
    pending: pending && transcript.turns.length <= pending.turns ? pending.text : undefined,
    running: last !== undefined && isRunning(last),
    /** Resolves to whether the server has taken it. */
    async send(text: string): Promise<boolean> {
      setPending({ text, turns: transcript.turns.length });
      const taken = await guarded(async () => open.current?.send(text));
      if (!taken) setPending(undefined);
      return taken;
    },
    stop: () => guarded(async () => open.current?.stop()),
    reopen: () => setOpening((count) => count + 1),
  };
}
