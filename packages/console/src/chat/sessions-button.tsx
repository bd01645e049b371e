import { useLocation } from '@tanstack/react-router';
import { PanelLeft } from 'lucide-react';
import { useEffect, useState } from 'react';
import { Button } from '../ui/button.tsx';
import { Drawer } from '../ui/dialogs.tsx';
import { SessionList } from './session-list.tsx';

/** Where there is no room for the list beside the conversation. */
export function SessionsButton() {
  const [open, setOpen] = useState(false);
  const { pathname } = useLocation();
  // biome-ignore lint/correctness/useExhaustiveDependencies: whoever has chosen one wants to read it.
  useEffect(() => setOpen(false), [pathname]);
  return (
    <span className="md:hidden">
      <Button look="ghost" size="icon" aria-label="Your conversations" onClick={() => setOpen(true)}>
        <PanelLeft size={17} />
      </Button>
      <Drawer open={open} onClose={() => setOpen(false)} title="Conversations" side="left">
        <SessionList />
      </Drawer>
    </span>
  );
}
