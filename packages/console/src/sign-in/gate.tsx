import { ApiError } from '@onbehalf/client';
import type { MeView } from '@onbehalf/resources';
import { useMutation, useQuery } from '@tanstack/react-query';
import { createContext, type ReactNode, useContext, useEffect, useState } from 'react';
import { askWhoIsSignedIn, client, queryClient } from '../api/client.ts';
import { meQuery } from '../api/queries.ts';
import { Button } from '../ui/button.tsx';
import { Mark } from '../ui/mark.tsx';
import { ErrorState } from '../ui/states.tsx';
import { SignIn, type SignInNote } from './sign-in.tsx';

/** The other pages of this browser learn at once that somebody has signed out in one of them. */
const otherPages = new BroadcastChannel('onbehalf');
otherPages.onmessage = askWhoIsSignedIn;

const Me = createContext<{ me: MeView; signOut: () => void } | undefined>(undefined);

export function useMe() {
  const value = useContext(Me);
  if (!value) throw new Error('nobody is signed in here');
  return value;
}

/** Nothing behind it is shown to anybody who is not signed in, from the moment on at which the server says so. */
export function Gate({ children }: { children: ReactNode }) {
  const { data, error, isPending, refetch } = useQuery(meQuery);
  const [signedOut, setSignedOut] = useState(false);
  const signOut = useMutation({
    mutationFn: () => client.logout(),
    onSuccess: () => {
      otherPages.postMessage('signed-out');
      setSignedOut(true);
      queryClient.clear();
    },
  });
  const ended = signedOut || (error instanceof ApiError && error.status === 401);
  useEffect(() => {
    // What belonged to the person is not kept for the next one; a page that the browser brings back asks again.
    if (ended) queryClient.removeQueries({ predicate: ({ queryKey }) => queryKey[0] !== 'me' });
    const shown = (event: PageTransitionEvent) => event.persisted && askWhoIsSignedIn();
    addEventListener('pageshow', shown);
    return () => removeEventListener('pageshow', shown);
  }, [ended]);

  if (ended) return <SignIn note={noteOf(signedOut, data !== undefined)} />;
  if (isPending) return <Waiting />;
  const forbidden = error instanceof ApiError && error.status === 403;
  if (!data || forbidden)
    return (
      <main className="grid min-h-dvh place-items-center">
        {forbidden ? <Inactive message={error.message} /> : <ErrorState error={error} retry={() => refetch()} />}
      </main>
    );
  return <Me value={{ me: data, signOut: () => signOut.mutate() }}>{children}</Me>;
}

/** What `/login` sends back here when a sign-in was not completed. */
const FAILURES = ['failed', 'refused', 'unavailable', 'unusable'] as const;

function noteOf(signedOut: boolean, wasSignedIn: boolean): SignInNote | undefined {
  if (signedOut) return 'signed-out';
  const failure = FAILURES.find((code) => code === new URLSearchParams(location.search).get('signin'));
  if (failure !== undefined) return failure;
  return wasSignedIn ? 'ended' : undefined;
}

function Waiting() {
  return (
    <main className="grid min-h-dvh place-items-center" aria-busy="true">
      <div role="status" aria-label="Loading" className="pulse-dot">
        <Mark size={40} />
      </div>
    </main>
  );
}

function Inactive({ message }: { message: string }) {
  return (
    <div role="alert" className="max-w-md px-6 text-center">
      <h1 className="text-xl font-semibold">Your account may not use this server</h1>
      <p className="mt-2 text-soft">
        {message.charAt(0).toUpperCase() + message.slice(1)}. An administrator can change that; then try again. A
        one-time link of somebody else signs in as them instead.
      </p>
      <Button className="mt-5" onClick={() => location.reload()}>
        Try again
      </Button>
    </div>
  );
}
