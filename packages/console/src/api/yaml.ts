import type { Metadata } from '@onbehalf/resources';

const PLAIN = /^[A-Za-z_][A-Za-z0-9_./-]*$/;
const AMBIGUOUS = /^(true|false|null|yes|no|on|off|y|n|~)$/i;

/** Plain data as YAML 1.2. Strings that could be read as anything else are written as JSON strings, which are YAML. */
export function toYaml(value: unknown, indent = 0): string {
  const pad = '  '.repeat(indent);
  if (Array.isArray(value)) {
    if (value.length === 0) return `${pad}[]\n`;
    return value.map((item) => `${pad}- ${inItem(item, indent)}`).join('');
  }
  if (isRecord(value)) {
    const entries = Object.entries(value).filter(([, item]) => item !== undefined);
    if (entries.length === 0) return `${pad}{}\n`;
    return entries.map(([key, item]) => `${pad}${scalar(key)}:${afterKey(item, indent)}`).join('');
  }
  return `${pad}${scalar(value)}\n`;
}

function inItem(item: unknown, indent: number): string {
  return isNested(item) ? toYaml(item, indent + 1).trimStart() : `${scalarOrEmpty(item)}\n`;
}

function afterKey(item: unknown, indent: number): string {
  if (typeof item === 'string' && item.includes('\n') && /^\S/.test(item) && !/[^\n\P{Cc}]/u.test(item))
    return ` ${block(item, '  '.repeat(indent + 1))}`;
  return isNested(item) ? `\n${toYaml(item, indent + 1)}` : ` ${scalarOrEmpty(item)}\n`;
}

function block(text: string, pad: string): string {
  const lines = text.replace(/\n$/, '').split('\n');
  const keep = text.endsWith('\n') ? '|' : '|-';
  return text.endsWith('\n\n')
    ? `${JSON.stringify(text)}\n`
    : `${keep}\n${lines.map((line) => `${line === '' ? '' : pad}${line}\n`).join('')}`;
}

function scalar(value: unknown): string {
  if (typeof value !== 'string') return JSON.stringify(value) ?? 'null';
  return PLAIN.test(value) && !AMBIGUOUS.test(value) ? value : JSON.stringify(value);
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;
const isNested = (value: unknown) =>
  Array.isArray(value) ? value.length > 0 : isRecord(value) && Object.values(value).some((item) => item !== undefined);
const scalarOrEmpty = (value: unknown) => (Array.isArray(value) ? '[]' : isRecord(value) ? '{}' : scalar(value));

/** What `onbehalf apply -f` takes: without what the server keeps. */
export function resourceYaml(resource: { apiVersion: string; kind: string; metadata: Metadata; spec: object }): string {
  const { name, namespace, labels, annotations } = resource.metadata;
  return toYaml({
    apiVersion: resource.apiVersion,
    kind: resource.kind,
    metadata: { name, namespace, labels, annotations },
    spec: resource.spec,
  });
}
