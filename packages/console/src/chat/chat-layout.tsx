import { Link, Outlet } from '@tanstack/react-router';
import { SquarePen } from 'lucide-react';
import { buttonClass } from '../ui/button.tsx';
import { SessionList } from './session-list.tsx';

export function ChatLayout() {
  return (
    <div className="grid grid-cols-1 h-full min-h-0 md:grid-cols-[16rem_minmax(0,1fr)] xl:grid-cols-[19rem_minmax(0,1fr)]">
      <aside
        aria-label="Your conversations"
        className="hidden min-h-0 flex-col border-r border-line bg-surface md:flex"
      >
        <div className="flex items-center justify-between px-4 pt-3 pb-1">
          <span className="font-semibold">Conversations</span>
          <Link
            to="/chat"
            aria-label="New conversation"
            title="New conversation"
            className={buttonClass('ghost', 'icon')}
          >
            <SquarePen size={16} />
          </Link>
        </div>
        <div className="scroll-thin min-h-0 flex-1 overflow-y-auto px-2 pb-3">
          <SessionList />
        </div>
      </aside>
      <div className="min-h-0 min-w-0 overflow-y-auto">
        <Outlet />
      </div>
    </div>
  );
}
