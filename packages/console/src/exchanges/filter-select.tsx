import { ChevronDown } from 'lucide-react';

interface FilterSelectProps {
  label: string;
  value: string | undefined;
  choices: readonly string[];
  onChange: (value: string | undefined) => void;
}

/** The browser's own select: it works with every keyboard, screen reader and phone. */
export function FilterSelect({ label, value, choices, onChange }: FilterSelectProps) {
  const all = value !== undefined && !choices.includes(value) ? [value, ...choices] : choices;
  return (
    <label
      className={`relative flex h-8 max-w-56 items-center rounded-lg border pl-2.5 text-xs font-medium ${value === undefined ? 'border-line-strong bg-surface text-soft' : 'border-accent bg-accent-soft text-accent-ink'}`}
    >
      <span>{label}</span>
      <select
        value={value ?? ''}
        onChange={(event) => onChange(event.target.value || undefined)}
        className="h-full min-w-0 flex-1 appearance-none truncate rounded-lg bg-transparent pr-7 pl-1.5 [&>option]:bg-surface [&>option]:text-text"
      >
        <option value="">any</option>
        {all.map((choice) => (
          <option key={choice} value={choice}>
            {choice}
          </option>
        ))}
      </select>
      <ChevronDown size={13} aria-hidden="true" className="pointer-events-none absolute right-2" />
    </label>
  );
}
