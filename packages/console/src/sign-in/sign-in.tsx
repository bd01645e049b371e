import { ArrowRight, Bot, Server, UserRound } from 'lucide-react';
import { buttonClass } from '../ui/button.tsx';
import { Mark } from '../ui/mark.tsx';
import { usePageTitle } from '../ui/page.tsx';

export type SignInNote = 'ended' | 'signed-out' | 'failed' | 'refused' | 'unavailable' | 'unusable';

const NOTES: Record<SignInNote, { tone: string; text: string }> = {
  ended: { tone: 'bg-warn-soft text-warn', text: 'Your sign-in has ended. Sign in again to go on where you were.' },
  'signed-out': { tone: 'bg-good-soft text-good', text: 'You are signed out.' },
  failed: {
    tone: 'bg-bad-soft text-bad',
    text: 'Signing in did not work. The link may be used or expired, or the server was restarted in between. Try again.',
  },
  refused: { tone: 'bg-bad-soft text-bad', text: 'The sign-in was refused where your account is.' },
  unavailable: {
    tone: 'bg-bad-soft text-bad',
    text: 'The server where your account is did not answer as expected. Try again in a moment.',
  },
  unusable: {
    tone: 'bg-bad-soft text-bad',
    text: 'You are who you say, but what your account’s server sent cannot be used here. Tell an administrator, to whom “onbehalf doctor” gives the reason.',
  },
};

/** The server's side of it: code and PKCE, and a cookie that no script reads. */
export function signInAddress(issuer?: string): string {
  const here = new URL(location.href);
  here.searchParams.delete('signin');
  const returnTo = here.pathname + here.search;
  return `/login?${new URLSearchParams({ returnTo, ...(issuer !== undefined && { issuer }) })}`;
}

export function SignIn({ note }: { note: SignInNote | undefined }) {
  usePageTitle('Sign in');
  return (
    <main className="grid grid-cols-1 min-h-dvh lg:grid-cols-[1fr_minmax(0,34rem)]">
      <section className="order-2 hidden flex-col justify-between border-r border-line bg-surface p-12 lg:order-1 lg:flex">
        <div className="flex items-center gap-3 text-base font-semibold">
          <Mark size={28} /> Onbehalf
        </div>
        <div className="max-w-xl">
          <p className="mb-8 text-3xl leading-tight font-semibold tracking-tight text-balance">
            AI agents that act with your authority, and nothing more.
          </p>
          <Path />
          <p className="mt-8 max-w-md text-soft">
            Every tool server gets its own short-lived token: this person, through this agent, for this server only. You
            can read every one of those decisions afterwards.
          </p>
        </div>
        <p className="text-faint">Open source · Apache-2.0</p>
      </section>
      <section className="order-1 flex flex-col justify-center px-6 py-12 sm:px-12 lg:order-2">
        <div className="mx-auto w-full max-w-sm">
          <Mark size={40} />
          <h1 className="mt-6 text-2xl font-semibold tracking-tight">Sign in to Onbehalf</h1>
          <p className="mt-1.5 text-soft">Talk to your agents, and see whose token each of their calls carried.</p>
          {note && (
            <p role="alert" className={`mt-5 rounded-lg px-3.5 py-2.5 ${NOTES[note].tone}`}>
              {NOTES[note].text}
            </p>
          )}
          <a href={signInAddress()} rel="noreferrer" className={`${buttonClass('primary')} mt-6 h-10 w-full`}>
            Sign in <ArrowRight size={16} aria-hidden="true" />
          </a>
          <p className="mt-5 text-xs text-faint">
            An account of this server, and no password yet? An administrator makes a one-time link:{' '}
            <code className="font-mono">onbehalf login-link --user NAME</code>
          </p>
        </div>
      </section>
    </main>
  );
}

function Path() {
  const stops = [
    { icon: UserRound, name: 'You', text: 'subject' },
    { icon: Bot, name: 'An agent', text: 'acts for you' },
    { icon: Server, name: 'One tool server', text: 'audience' },
  ];
  return (
    <ol className="flex items-center" aria-label="Whose token: you, through an agent, for one tool server">
      {stops.map(({ icon: Icon, name, text }, index) => (
        <li key={name} className="flex items-center">
          {index > 0 && <span aria-hidden="true" className="mx-3 h-px w-8 bg-line-strong xl:w-14" />}
          <span className="flex items-center gap-2.5">
            <span className="grid size-10 place-items-center rounded-xl border border-line bg-canvas text-accent-ink">
              <Icon size={18} aria-hidden="true" />
            </span>
            <span>
              <span className="block leading-tight font-medium">{name}</span>
              <span className="block text-xs text-faint">{text}</span>
            </span>
          </span>
        </li>
      ))}
    </ol>
  );
}
