import type { Principal } from '@onbehalf/access';
import type { ApplyResult, Resource } from '@onbehalf/resources';
import type { StoredResource } from '../store/index.ts';
import { type Environment, writeEnvironment } from './environment.ts';
import type { Placed, WriteOptions } from './placed.ts';
import type { ControlPorts, Writer } from './ports.ts';
import { createReconciler } from './reconcile.ts';
import { noteSubjectToken, type SubjectTokenFacts } from './subject-tokens.ts';
import { viewOf } from './view.ts';
import { removeResource, writeResources } from './write.ts';

export interface Control {
  /** All of the documents with the writer's verbs, or none. @throws ControlError, StoreError */
  write(writer: Writer, placed: readonly Placed[], options: WriteOptions): Promise<ApplyResult>;
  /** @throws ControlError `managed_elsewhere`, `forbidden`, `not_found`, StoreError */
  remove(writer: Writer, resource: StoredResource, requestId: string): Promise<void>;
  /** A resource as the API shows it. */
  view(resource: StoredResource): Promise<Resource>;
  /** What the sign-in at a TrustedIssuer brought, or why one was refused, as its condition. */
  noteSubjectToken(issuer: string, found: SubjectTokenFacts | string): Promise<void>;
  /** Returns lines for whoever started the server. */
  writeEnvironment(by: Principal, made: Environment): Promise<string[]>;
  /** Conditions as things stand now. */
  reconcile(): Promise<void>;
  /** Looks again at the conditions of these soon: what they depend on is not in a resource. */
  look(uids: Iterable<string>): void;
  close(): void;
}

export function createControl(ports: ControlPorts): Control {
  const reconciler = createReconciler(ports);
  return {
    write: (writer, placed, options) => writeResources(ports, writer, placed, options),
    remove: (writer, resource, requestId) => removeResource(ports, writer, resource, requestId),
    view: (resource) => viewOf(ports, resource),
    noteSubjectToken: (issuer, found) => noteSubjectToken(ports, issuer, found),
    writeEnvironment: (by, made) => writeEnvironment(ports, by, made),
    reconcile: reconciler.run,
    look: reconciler.look,
    close: reconciler.close,
  };
}
