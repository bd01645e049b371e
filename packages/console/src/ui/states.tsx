import { ApiError } from '@onbehalf/client';
import { CircleAlert, type LucideIcon } from 'lucide-react';
import type { ReactNode } from 'react';
import { Button } from './button.tsx';

interface EmptyStateProps {
  icon: LucideIcon;
  title: string;
  children: ReactNode;
  action?: ReactNode;
}

/** Says what would be here, and the next step. */
export function EmptyState({ icon: Icon, title, children, action }: EmptyStateProps) {
  return (
    <div className="mx-auto flex max-w-md flex-col items-center px-6 py-16 text-center">
      <div className="mb-4 grid size-12 place-items-center rounded-xl border border-line bg-surface text-soft shadow-card">
        <Icon size={22} aria-hidden="true" />
      </div>
      <h2 className="mb-1.5 text-base font-semibold">{title}</h2>
      <div className="text-soft">{children}</div>
      {action !== undefined && <div className="mt-5 w-full max-w-sm">{action}</div>}
    </div>
  );
}

/** What a refusal means to the person, and what helps. */
export function explainError(error: unknown): { title: string; message: string } {
  if (!(error instanceof ApiError))
    return { title: 'Something went wrong', message: 'This page met an error of its own.' };
  if (error.status === 0)
    return { title: 'The server cannot be reached', message: 'It may be restarting. This page tries again by itself.' };
  if (error.status === 401) return { title: 'Your sign-in has ended', message: 'Sign in again to go on.' };
  if (error.status === 403) return { title: 'You may not see this', message: error.message };
  if (error.status === 404)
    return { title: 'There is no such thing', message: 'It does not exist, or you may not see it.' };
  return { title: `The server refused (${error.code})`, message: error.message };
}

export function ErrorState({ error, retry }: { error: unknown; retry?: () => void }) {
  const { title, message } = explainError(error);
  return (
    <div role="alert" className="mx-auto flex max-w-md flex-col items-center px-6 py-16 text-center">
      <div className="mb-4 grid size-12 place-items-center rounded-xl bg-bad-soft text-bad">
        <CircleAlert size={22} aria-hidden="true" />
      </div>
      <h2 className="mb-1.5 text-base font-semibold">{title}</h2>
      <p className="text-soft">{message}</p>
      {retry && (
        <Button className="mt-5" onClick={retry}>
          Try again
        </Button>
      )}
    </div>
  );
}

export function Loading({ rows = 3 }: { rows?: number }) {
  return (
    <div role="status" aria-label="Loading" className="grid grid-cols-1 gap-3">
      {Array.from({ length: rows }, (_, row) => `row-${row}`).map((key) => (
        <div key={key} className="skeleton h-20 rounded-xl border border-line" />
      ))}
    </div>
  );
}
