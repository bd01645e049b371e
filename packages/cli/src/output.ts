import { stringify } from 'yaml';
import type { Io } from './io.ts';
import { oneLine, styler } from './terminal.ts';

export const formats = ['table', 'wide', 'json', 'yaml', 'name', 'jsonl'] as const;
export type Format = (typeof formats)[number];

export interface Column<T> {
  title: string;
  value: (item: T) => string | number | boolean | undefined;
  /** Only with `-o wide`. */
  wide?: boolean;
}

export interface Output {
  format: Format;
  /** A list. `name` gives what the next command takes. */
  list<T>(items: readonly T[], columns: readonly Column<T>[], name: (item: T) => string, empty: string): void;
  /** One thing; `text` is how a person reads it. */
  one(value: unknown, name: string, text: () => string): void;
  /** A line of data. */
  line(text: string): void;
  /** Without a newline, for text that is still being written. */
  piece(text: string): void;
  /** For a person: to stderr, not with --quiet. */
  hint(text: string): void;
}

export function createOutput(io: Io, format: Format, quiet: boolean): Output {
  const line = (text: string) => io.stdout.write(`${text}\n`);
  const hint = (text: string) => {
    if (!quiet) io.stderr.write(`${text}\n`);
  };
  const bold = styler(io, io.stdout);
  return {
    format,
    line,
    hint,
    piece: (text) => io.stdout.write(text),
    list(items, columns, name, empty) {
      if (format === 'json') return line(json({ items }, 2));
      if (format === 'yaml') return line(yaml({ items }));
      if (format === 'jsonl' || format === 'name') {
        for (const item of items) line(format === 'jsonl' ? json(item) : oneLine(name(item)));
        return;
      }
      if (items.length === 0) return hint(empty);
      const shown = columns.filter((column) => !column.wide || format === 'wide');
      const rows = items.map((item) => shown.map((column) => oneLine(String(column.value(item) ?? '-') || '-')));
      const [head = '', ...body] = table([shown.map((column) => column.title), ...rows]);
      line(bold('bold', head));
      for (const row of body) line(row);
    },
    one(value, name, text) {
      if (format === 'json') line(json(value, 2));
      else if (format === 'jsonl') line(json(value));
      else if (format === 'yaml') line(yaml(value));
      else if (format === 'name') line(oneLine(name));
      else line(text());
    },
  };
}

/** JSON whose strings cannot command a terminal either: JSON itself leaves C1 and DEL as they are. */
export function json(value: unknown, indent?: number): string {
  return JSON.stringify(value, null, indent).replace(
    /[\u007f-\u009f]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

export const yaml = (value: unknown) => stringify(value, { lineWidth: 0 }).trimEnd();

/** Columns two spaces apart, without trailing space. */
export function table(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}

/** `3m`, `2h`, `5d`: how long ago. */
export function age(at: string | undefined, now: number): string | undefined {
  if (at === undefined || Number.isNaN(Date.parse(at))) return undefined;
  const seconds = Math.max(0, Math.round((now - Date.parse(at)) / 1_000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7_200) return `${Math.floor(seconds / 60)}m`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3_600)}h` : `${Math.floor(seconds / 86_400)}d`;
}
