import { Monitor, Moon, Sun } from 'lucide-react';
import { Button } from '../ui/button.tsx';
import { setTheme, type Theme, useTheme } from '../ui/theme.ts';

const NEXT: Record<Theme, { next: Theme; name: string; icon: typeof Sun }> = {
  system: { next: 'light', name: 'as the system', icon: Monitor },
  light: { next: 'dark', name: 'light', icon: Sun },
  dark: { next: 'system', name: 'dark', icon: Moon },
};

export function ThemeToggle() {
  const { next, name, icon: Icon } = NEXT[useTheme()];
  const label = `Theme: ${name}. Change to ${NEXT[next].name}`;
  return (
    <Button look="ghost" size="icon" aria-label={label} title={label} onClick={() => setTheme(next)}>
      <Icon size={16} />
    </Button>
  );
}
