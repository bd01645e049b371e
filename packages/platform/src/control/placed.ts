import type { ApplyResult, ManagedBy, Resource, ResourceInput } from '@onbehalf/resources';
import type { StoredResource } from '../store/index.ts';

/** A document and where it stands, for errors. */
export interface Placed {
  input: ResourceInput;
  file: string;
  document: number;
  line: number;
  /** The line of what a path leads to. */
  lineOf(path: string): number;
}

export interface WriteOptions {
  dryRun?: boolean;
  managedBy?: ManagedBy;
  source?: string;
  /** Take away what an earlier apply of the same source made and this one leaves out. */
  prune?: boolean;
  /** `create`: the name must be free. `replace`: it must not, and `metadata.resourceVersion` is compared. */
  expect?: 'create' | 'replace';
  /** Binds Grants anew whose target was made again under its name. */
  rebind?: boolean;
  requestId?: string;
}

export interface Planned {
  action: ApplyResult['results'][number]['action'];
  resource: Resource;
  before: StoredResource | undefined;
  secrets: Record<string, string>;
}
