import type { ReactNode } from 'react';

export type Tone = 'neutral' | 'good' | 'warn' | 'bad' | 'accent';

const TONES: Record<Tone, string> = {
  neutral: 'bg-sunken text-soft border-line',
  good: 'bg-good-soft text-good border-transparent',
  warn: 'bg-warn-soft text-warn border-transparent',
  bad: 'bg-bad-soft text-bad border-transparent',
  accent: 'bg-accent-soft text-accent-ink border-transparent',
};

export function Badge({ tone = 'neutral', title, children }: { tone?: Tone; title?: string; children: ReactNode }) {
  return (
    <span
      {...(title !== undefined && { title })}
      className={`inline-flex max-w-full items-center gap-1 rounded-md border px-1.5 py-px text-xs font-medium ${TONES[tone]}`}
    >
      {children}
    </span>
  );
}

const DOTS: Record<Tone, string> = {
  neutral: 'bg-faint',
  good: 'bg-good',
  warn: 'bg-warn',
  bad: 'bg-bad',
  accent: 'bg-accent',
};

export function Dot({ tone, pulse = false }: { tone: Tone; pulse?: boolean }) {
  return (
    <span
      aria-hidden="true"
      className={`block size-2 shrink-0 rounded-full ${DOTS[tone]} ${pulse ? 'pulse-dot' : ''}`}
    />
  );
}

/** A value of a protocol: a scope, an audience, a name of a tool. */
export function Token({ children }: { children: ReactNode }) {
  return (
    <code className="inline-block max-w-full rounded border border-line bg-sunken px-1.5 py-px font-mono text-xs break-all">
      {children}
    </code>
  );
}
