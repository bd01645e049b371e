import { Menu } from '@base-ui/react/menu';
import type { SessionView } from '@onbehalf/resources';
import { useMutation } from '@tanstack/react-query';
import { Link, useNavigate, useParams } from '@tanstack/react-router';
import { Ellipsis, Pencil, Trash2 } from 'lucide-react';
import { useEffect, useRef, useState } from 'react';
import { agentAddress } from '../api/address.ts';
import { client, queryClient } from '../api/client.ts';
import { Dot } from '../ui/badge.tsx';
import { buttonClass } from '../ui/button.tsx';
import { Confirm } from '../ui/dialogs.tsx';
import { explainError } from '../ui/states.tsx';
import { Time } from '../ui/time.tsx';

const ITEM = 'flex items-center gap-2.5 rounded-lg px-2.5 py-1.5 font-medium outline-none data-highlighted:bg-hover';

export function SessionItem({ session }: { session: SessionView }) {
  const agent = agentAddress(session.agent);
  const name = session.title || 'Untitled';
  const [mode, setMode] = useState<'shown' | 'renaming' | 'deleting'>('shown');
  const navigate = useNavigate();
  const { session: current } = useParams({ strict: false });
  const refresh = () => queryClient.invalidateQueries({ queryKey: ['sessions'] });
  const rename = useMutation({
    mutationFn: (title: string) => client.renameSession(agent, session.id, title),
    onSuccess: refresh,
  });
  const remove = useMutation({
    mutationFn: () => client.deleteSession(agent, session.id),
    onSuccess: async () => {
      if (current === session.id) await navigate({ to: '/chat' });
      await refresh();
    },
  });
  const problem = rename.error ?? remove.error;

  if (mode === 'renaming')
    return (
      <li className="px-1">
        <RenameForm
          name={session.title}
          onDone={(title) => {
            setMode('shown');
            if (title !== undefined && title !== session.title) rename.mutate(title);
          }}
        />
      </li>
    );
  return (
    <li className="group relative">
      <Link
        to="/chat/$agent/$session"
        params={{ agent, session: session.id }}
        search={(kept) => kept}
        className="block rounded-lg py-1.5 pr-9 pl-2.5 transition-colors hover:bg-hover"
        activeProps={{ className: 'bg-hover' }}
      >
        <span className="flex items-center gap-2">
          {session.turn?.state === 'running' && <Dot tone="accent" pulse />}
          <span className="truncate font-medium">{rename.isPending ? rename.variables : name}</span>
        </span>
        <span className="block truncate text-xs text-soft">
          {agent} · <Time at={session.updatedAt} />
        </span>
      </Link>
      <Menu.Root modal={false}>
        <Menu.Trigger
          aria-label={`More about ${name}`}
          className={`${buttonClass('ghost', 'icon')} absolute top-2 right-1 size-7!`}
        >
          <Ellipsis size={15} />
        </Menu.Trigger>
        <Menu.Portal>
          <Menu.Positioner align="end" sideOffset={4} className="z-60 outline-none">
            <Menu.Popup className="fade w-40 rounded-xl border border-line bg-surface p-1.5 shadow-float outline-none">
              <Menu.Item className={ITEM} onClick={() => setMode('renaming')}>
                <Pencil size={15} aria-hidden="true" /> Rename
              </Menu.Item>
              <Menu.Item className={`${ITEM} text-bad`} onClick={() => setMode('deleting')}>
                <Trash2 size={15} aria-hidden="true" /> Delete
              </Menu.Item>
            </Menu.Popup>
          </Menu.Positioner>
        </Menu.Portal>
      </Menu.Root>
      {problem && (
        <p role="alert" className="px-2.5 pb-1 text-xs text-bad">
          {explainError(problem).message}
        </p>
      )}
      <Confirm
        open={mode === 'deleting'}
        onClose={() => setMode('shown')}
        title="Delete this conversation?"
        action="Delete"
        onConfirm={() => remove.mutate()}
      >
        “{name}” is gone for you at once, and what runs in it is stopped. The audit keeps what was done, not what was
        said.
      </Confirm>
    </li>
  );
}

function RenameForm({ name, onDone }: { name: string; onDone: (title: string | undefined) => void }) {
  const [title, setTitle] = useState(name);
  const field = useRef<HTMLInputElement>(null);
  // Once: a name that is selected again at every letter keeps the last letter alone.
  useEffect(() => field.current?.select(), []);
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        onDone(title.trim() === '' ? undefined : title.trim());
      }}
    >
      <input
        aria-label="New name"
        value={title}
        maxLength={200}
        ref={field}
        onChange={(event) => setTitle(event.target.value)}
        onKeyDown={(event) => event.key === 'Escape' && onDone(undefined)}
        onBlur={() => onDone(title.trim() === '' ? undefined : title.trim())}
        className="h-9 w-full rounded-lg border border-accent bg-canvas px-2.5"
      />
    </form>
  );
}
