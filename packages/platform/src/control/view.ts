import type { Resource } from '@onbehalf/resources';
import type { StoredResource } from '../store/index.ts';
import type { ControlPorts } from './ports.ts';

/** A resource as the API shows it. A Secret says which fields are set, never what they hold. */
export async function viewOf(ports: Pick<ControlPorts, 'vault'>, resource: StoredResource): Promise<Resource> {
  const { writer: _writer, ...shown } = resource;
  if (shown.kind !== 'Secret') return shown as Resource;
  const described = await ports.vault.describe(shown.metadata.uid);
  const fields = Object.fromEntries(
    Object.entries(described).map(([field, { version, at, fingerprint }]) => [field, { version, at, fingerprint }]),
  );
  return { ...shown, status: { ...shown.status, fields } } as Resource;
}
