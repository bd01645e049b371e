import { Menu } from '@base-ui/react/menu';
import { ChevronsUpDown, LogOut } from 'lucide-react';
import { useMe } from '../sign-in/gate.tsx';
import { Badge } from '../ui/badge.tsx';

export function AccountMenu() {
  const { me, signOut } = useMe();
  const name = me.name ?? me.subject;
  return (
    <Menu.Root modal={false}>
      <Menu.Trigger className="flex min-w-0 items-center gap-2 rounded-lg px-1.5 py-1 text-left transition-colors hover:bg-hover md:flex-1">
        <Initial name={name} />
        <span className="min-w-0 flex-1 max-md:sr-only">
          <span className="sr-only">Account of </span>
          <span className="block truncate leading-tight font-medium">{name}</span>
          <span className="block truncate text-xs text-faint">{me.role.toLowerCase()}</span>
        </span>
        <ChevronsUpDown size={14} aria-hidden="true" className="hidden shrink-0 text-faint md:block" />
      </Menu.Trigger>
      <Menu.Portal>
        <Menu.Positioner side="top" align="start" sideOffset={8} collisionPadding={8} className="z-50 outline-none">
          <Menu.Popup className="fade w-64 rounded-xl border border-line bg-surface p-1.5 shadow-float outline-none">
            <div className="px-2.5 pt-1.5 pb-2.5">
              <div className="flex items-center justify-between gap-2">
                <span className="truncate font-semibold">{name}</span>
                <Badge tone="accent">{me.role}</Badge>
              </div>
              <p className="mt-1 text-xs break-all text-soft">
                {me.subject} of {me.issuer}
              </p>
              {me.groups.length > 0 && <p className="mt-1 text-xs text-soft">Groups: {me.groups.join(', ')}</p>}
            </div>
            <Menu.Separator className="-mx-1.5 mb-1.5 h-px bg-line" />
            <Menu.Item
              onClick={signOut}
              className="flex items-center gap-2.5 rounded-lg px-2.5 py-1.5 font-medium outline-none data-highlighted:bg-hover"
            >
              <LogOut size={16} aria-hidden="true" /> Sign out
            </Menu.Item>
          </Menu.Popup>
        </Menu.Positioner>
      </Menu.Portal>
    </Menu.Root>
  );
}

function Initial({ name }: { name: string }) {
  return (
    <span
      aria-hidden="true"
      className="grid size-7 shrink-0 place-items-center rounded-full bg-accent-soft text-xs font-semibold text-accent-ink uppercase"
    >
      {[...name][0]}
    </span>
  );
}
