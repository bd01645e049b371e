import { useQuery } from '@tanstack/react-query';
import { Link, Outlet } from '@tanstack/react-router';
import { ArrowLeftRight, Bot, Boxes, type LucideIcon, MessagesSquare } from 'lucide-react';
import { meQuery } from '../api/queries.ts';
import { Mark } from '../ui/mark.tsx';
import { explainError } from '../ui/states.tsx';
import { AccountMenu } from './account-menu.tsx';
import { ThemeToggle } from './theme-toggle.tsx';

const PLACES: readonly { to: '/agents' | '/chat' | '/models' | '/exchanges'; name: string; icon: LucideIcon }[] = [
  { to: '/chat', name: 'Chat', icon: MessagesSquare },
  { to: '/agents', name: 'Agents', icon: Bot },
  { to: '/models', name: 'Models', icon: Boxes },
  { to: '/exchanges', name: 'Exchanges', icon: ArrowLeftRight },
];

export function Shell() {
  const { error } = useQuery(meQuery);
  return (
    <div className="flex h-dvh flex-col md:flex-row">
      <a
        href="#content"
        className="sr-only focus:not-sr-only focus:fixed focus:top-2 focus:left-2 focus:z-50 focus:rounded-lg focus:bg-surface focus:px-3 focus:py-2"
      >
        Skip to content
      </a>
      <header className="flex shrink-0 flex-wrap items-center gap-x-2 border-b border-line bg-surface md:w-56 md:flex-col md:flex-nowrap md:items-stretch md:border-r md:border-b-0">
        <Link
          to="/agents"
          className="flex items-center gap-2.5 px-4 py-3 text-[0.9375rem] font-semibold tracking-tight md:py-4"
        >
          <Mark size={26} /> Onbehalf
        </Link>
        <nav aria-label="Main" className="order-3 w-full px-2 pb-2 md:order-none md:w-auto md:flex-1 md:px-3">
          <ul className="flex gap-1 md:flex-col">
            {PLACES.map(({ to, name, icon: Icon }) => (
              <li key={to} className="flex-1 md:flex-none">
                <Link
                  to={to}
                  className="flex items-center justify-center gap-2.5 rounded-lg px-2 py-1.5 font-medium text-soft transition-colors hover:bg-hover hover:text-text md:justify-start md:px-2.5"
                  activeProps={{ className: 'bg-hover text-text!' }}
                >
                  <Icon size={17} aria-hidden="true" className="max-[430px]:hidden" />
                  {name}
                </Link>
              </li>
            ))}
          </ul>
        </nav>
        <div className="ml-auto flex items-center gap-1 px-3 py-2 md:ml-0 md:flex-row-reverse md:justify-between md:border-t md:border-line">
          <ThemeToggle />
          <AccountMenu />
        </div>
      </header>
      <main id="content" tabIndex={-1} className="scroll-thin min-h-0 min-w-0 flex-1 overflow-y-auto outline-none">
        {error && (
          <p role="alert" className="bg-warn-soft px-4 py-2 text-center text-warn">
            {explainError(error).title}. {explainError(error).message}
          </p>
        )}
        <Outlet />
      </main>
    </div>
  );
}
