import { Link } from '@tanstack/react-router';
import { Compass } from 'lucide-react';
import { buttonClass } from '../ui/button.tsx';
import { usePageTitle } from '../ui/page.tsx';
import { EmptyState } from '../ui/states.tsx';

export function NotFound() {
  usePageTitle('Not found');
  return (
    <EmptyState
      icon={Compass}
      title="There is no such page"
      action={
        <Link to="/agents" className={buttonClass()}>
          To the agents
        </Link>
      }
    >
      The address may be from another version, or was cut when it was copied.
    </EmptyState>
  );
}
