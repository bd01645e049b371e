import {
  API_VERSION,
  applyRequest,
  applyResult,
  approveTools,
  checkDocument,
  type Kind,
  kindNames,
  kinds,
  namespaceOrDefault,
  type ParsedDocuments,
  pathText,
  placeOf,
  type Resource,
  type ResourceOf,
  readDocuments,
  resourceList,
  resourceView,
  setSecret,
} from '@onbehalf/resources';
import { SecretValue } from '@onbehalf/secret-value';
import { z } from 'zod';
import type { Audit } from '../../audit/index.ts';
import { again, type Control, ControlError, isMoved, type Placed } from '../../control/index.ts';
import type { Limits } from '../../limits/index.ts';
import { refOf } from '../../people/index.ts';
import type { Policy } from '../../policy/index.ts';
import { inSlices, type Registry, type Store, type StoredResource } from '../../store/index.ts';
import type { Tools } from '../../tools/index.ts';
import type { Vault } from '../../vault/index.ts';
import type { Caller } from '../caller.ts';
import { findResource } from '../find-resource.ts';
import { HttpProblem } from '../problems.ts';
import { byRole, notFound, type Route, route } from '../route.ts';

const listQuery = z.strictObject({ namespace: z.string().exactOptional() });

export interface ResourcePorts {
  limits: Pick<Limits, 'check'>;
  registry: Registry;
  policy: Pick<Policy, 'decide'>;
  control: Control;
  audit: Audit;
  store: Store;
  tools: Pick<Tools, 'discover'>;
  vault: Pick<Vault, 'seal'>;
}

/** What a document that was just written is called. */
const addressOf = (kind: Kind, { namespace, name }: { namespace?: string; name: string }) =>
  kinds[kind].namespaced ? `${namespaceOrDefault({ namespace })}.${name}` : name;

/** Many documents are read one by one, and others are let in between. */
async function documentsOf(given: string | readonly unknown[], file: string): Promise<ParsedDocuments> {
  const breathe = inSlices();
  if (typeof given === 'string') {
    const steps = readDocuments(given, file);
    for (;;) {
      const { done, value } = steps.next();
      if (done) return value;
      await breathe();
    }
  }
  const all: ParsedDocuments = { documents: [], errors: [] };
  for (const [index, value] of given.entries()) {
    // Nobody reads more mistakes than that.
    if (all.errors.length >= MOST_ERRORS) break;
    await breathe();
    const at = { file, document: index + 1, line: 1 };
    const checked = checkDocument(value);
    if ('input' in checked) all.documents.push({ ...at, input: checked.input, lineOf: () => 1 });
    else for (const { path, message } of checked.issues) all.errors.push({ ...at, path: pathText(path), message });
  }
  return all;
}

/** A document of this kind, whatever the address says it is called. */
function documentOf(kind: Kind, body: unknown): Placed {
  // Bodies of older front ends, such as {name, modelType}: the answer shows the form that is taken here.
  if (typeof body !== 'object' || body === null || !('spec' in body))
    throw new HttpProblem(
      'invalid_request',
      `send a document: {"apiVersion": "${API_VERSION}", "kind": "${kind}", "metadata": {"name": "…"}, "spec": {…}}`,
    );
  const checked = checkDocument('kind' in body ? body : { ...body, kind });
  if ('issues' in checked)
    throw new HttpProblem('invalid_documents', 'the document is not valid; nothing was changed', {
      errors: checked.issues.map((issue) => ({
        file: 'body',
        document: 1,
        line: 1,
        path: pathText(issue.path),
        message: issue.message,
      })),
    });
  if (checked.input.kind !== kind)
    throw new HttpProblem('invalid_request', `this address takes documents of kind ${kind}`);
  return { input: checked.input, file: 'body', document: 1, line: 1, lineOf: () => 1 };
}

/** What is sealed by itself beside the documents. */
const secretFields = (documents: readonly Placed[]): number =>
  documents.reduce(
    (sum, { input }) => sum + (input.kind === 'Secret' ? Object.keys(input.spec.data ?? {}).length : 0),
    0,
  );

const TRIES = 5;
/** Written by somebody else before it was looked at, or before it was committed. */
const isStale = (error: unknown) =>
  isMoved(error) || (error instanceof ControlError && error.code === 'stale_resource_version');
const MOST_ERRORS = 100;

/** The document that a merge patch makes of a resource. */
function patched(kind: Kind, { apiVersion, spec, metadata: all }: StoredResource, patch: unknown): unknown {
  const { uid, generation, owner, managedBy, source, createdAt, updatedAt, ...metadata } = all;
  const document = mergePatch({ apiVersion, kind, metadata, spec }, patch);
  // A version that is taken away is none that the patch names: it is still laid over what was looked at.
  const kept = (document as { metadata?: { resourceVersion?: unknown } | null } | null)?.metadata;
  if (typeof kept === 'object' && kept !== null) kept.resourceVersion ??= all.resourceVersion;
  return document;
}

/** RFC 7396 section 2. */
function mergePatch(target: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch;
  const result: Record<string, unknown> =
    typeof target === 'object' && target !== null && !Array.isArray(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = mergePatch(Object.hasOwn(result, key) ? result[key] : undefined, value);
  }
  return result;
}

export function resourceRoutes(o: ResourcePorts): readonly Route[] {
  const { registry, policy, control } = o;

  /** The same resource as it is after a change. */
  function current({ metadata }: StoredResource): StoredResource {
    const found = registry.byUid(metadata.uid);
    if (!found) throw notFound();
    return found;
  }

  const about =
    (verb: 'read' | 'write', kind: Kind) =>
    ({ params }: { params: Record<string, string> }) => {
      const found = findResource(registry, kind, params.name);
      return { question: { action: verb, resource: { kind, uid: found.metadata.uid } }, found };
    };

  function routesOf(kind: Kind): Route[] {
    const { plural } = kinds[kind];
    return [
      route<undefined, z.infer<typeof listQuery>>({
        method: 'GET',
        path: `/${plural}`,
        summary: `Lists the resources of kind ${kind} that the caller may read`,
        query: listQuery,
        responses: { 200: resourceList },
        authorize: byRole(kind === 'Agent' ? 'list' : 'resources.list'),
        async handle({ caller, query }) {
          const seen = (registry.list(kind) as StoredResource[]).filter(
            (resource) =>
              (query.namespace === undefined || resource.metadata.namespace === query.namespace) &&
              policy.decide(caller.principal, 'read', { kind, uid: resource.metadata.uid }).effect === 'allow',
          );
          const items = await Promise.all(seen.map((resource) => control.view(resource)));
          return {
            items: items.sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1)),
            revision: registry.revision(),
          };
        },
      }),
      route<unknown>({
        method: 'POST',
        path: `/${plural}`,
        summary: `Creates a ${kind}`,
        budget: 'applies',
        body: z.unknown(),
        responses: { 201: resourceView },
        authorize: byRole('apply'),
        async handle({ caller, body, requestId }) {
          const placed = documentOf(kind, body);
          await control.write(caller, [placed], { expect: 'create', requestId });
          return control.view(findResource(registry, kind, addressOf(kind, placed.input.metadata)));
        },
      }),
      route<undefined, Record<string, never>, StoredResource>({
        method: 'GET',
        path: `/${plural}/:name`,
        summary: `One ${kind}`,
        responses: { 200: resourceView },
        authorize: about('read', kind),
        handle: ({ found }) => control.view(found),
      }),
      route<unknown, Record<string, never>, StoredResource>({
        method: 'PUT',
        path: `/${plural}/:name`,
        summary: `Replaces a ${kind}; metadata.resourceVersion is compared`,
        budget: 'applies',
        body: z.unknown(),
        responses: { 200: resourceView },
        authorize: about('read', kind),
        handle: ({ caller, body, found, requestId }) => replace(caller, kind, found, body, requestId),
      }),
      route<unknown, Record<string, never>, StoredResource>({
        method: 'PATCH',
        path: `/${plural}/:name`,
        summary: `Changes a ${kind} by a JSON merge patch (RFC 7396)`,
        budget: 'applies',
        body: z.unknown(),
        responses: { 200: resourceView },
        authorize: about('read', kind),
        async handle({ caller, body, found, requestId }) {
          const named = (body as { metadata?: { resourceVersion?: unknown } } | null)?.metadata?.resourceVersion;
          // A patch that names no version is laid over what is there, also when that has just been written.
          const tries = named === undefined || named === null ? TRIES : 1;
          const once = () => replace(caller, kind, found, patched(kind, current(found), body), requestId);
          return again(o, tries, once, isStale);
        },
      }),
      route<undefined, Record<string, never>, StoredResource>({
        method: 'DELETE',
        path: `/${plural}/:name`,
        summary: `Deletes a ${kind}`,
        budget: 'applies',
        responses: { 204: null },
        authorize: about('read', kind),
        async handle({ caller, found, requestId, reply }) {
          await control.remove(caller, found, requestId);
          reply.code(204);
        },
      }),
    ];
  }

  async function replace(
    caller: Caller,
    kind: Kind,
    found: StoredResource,
    body: unknown,
    requestId: string,
  ): Promise<Resource> {
    const placed = documentOf(kind, body);
    const { name, namespace } = placed.input.metadata;
    if (
      name !== found.metadata.name ||
      (kinds[kind].namespaced && namespaceOrDefault({ namespace }) !== namespaceOrDefault(found.metadata))
    )
      throw new HttpProblem(
        'invalid_request',
        'metadata.name: is another than in the address; a resource cannot be renamed',
      );
    await control.write(caller, [placed], { expect: 'replace', requestId });
    return control.view(findResource(registry, kind, addressOf(kind, placed.input.metadata)));
  }

  const apply = route<z.infer<typeof applyRequest>>({
    method: 'POST',
    path: '/apply',
    summary: 'Applies documents with the caller’s verbs, all or nothing',
    bodyLimit: 8_388_608,
    budget: 'applies',
    body: applyRequest,
    responses: { 200: applyResult },
    authorize: byRole('apply'),
    async handle({ caller, body, requestId }) {
      const file = body.file ?? 'documents';
      const { documents, errors } = await documentsOf(body.documents, file);
      o.limits.check('documents', documents.length + secretFields(documents) - 1);
      if (errors.length > 0)
        throw new HttpProblem(
          'invalid_documents',
          `${errors.length} mistake${errors.length > 1 ? 's' : ''}; nothing was changed`,
          { errors },
        );
      return control.write(caller, documents, {
        requestId,
        ...(body.dryRun !== undefined && { dryRun: body.dryRun }),
        ...(body.prune !== undefined && { prune: body.prune }),
        ...(body.rebind !== undefined && { rebind: body.rebind }),
        ...(body.file !== undefined && { source: body.file }),
      });
    },
  });

  const approve = route<z.infer<typeof approveTools>, Record<string, never>, StoredResource>({
    method: 'POST',
    path: '/mcp-servers/:name/actions/approve-tools',
    summary: 'Approves tools that appeared or changed at a tool server, each by the name and hash that were seen',
    budget: 'applies',
    body: approveTools,
    responses: { 200: resourceView },
    authorize: about('write', 'RemoteMCPServer'),
    async handle({ caller, body, found, requestId }) {
      const { kind, metadata } = found;
      if (found.kind !== 'RemoteMCPServer') throw notFound();
      unchanged(found, body.tools);
      const wanted = new Set(body.tools.map(({ name, hash }) => `${name} ${hash}`));
      const line = {
        type: 'approval',
        principal: refOf(caller.principal),
        requestId,
        ref: crypto.randomUUID(),
        target: { kind, uid: metadata.uid, name: metadata.name, namespace: namespaceOrDefault(metadata) },
        data: { tools: [...wanted] },
      } as const;
      await o.audit.append({ ...line, phase: 'intent' });
      let outcome = 'refused';
      try {
        await registry.updateStatus<'RemoteMCPServer'>(metadata.uid, (status, now) => {
          // Asked again of what is written over: it may have changed since it was read.
          unchanged(now, body.tools);
          const tools = status.tools ?? [];
          const approved = tools.map((tool) => ({
            ...tool,
            approved: tool.approved || wanted.has(`${tool.name} ${tool.hash}`),
          }));
          return { ...status, tools: approved };
        });
        outcome = 'ok';
      } finally {
        await o.audit.append({ ...line, phase: 'outcome', outcome });
      }
      await o.tools.discover(metadata.uid);
      return control.view(current(found));
    },
  });

  const discover = route<undefined, Record<string, never>, StoredResource>({
    method: 'POST',
    path: '/mcp-servers/:name/actions/test',
    summary: 'Lists the tools of a server again, now; with the caller’s own token where people list them',
    budget: 'applies',
    responses: { 200: resourceView },
    authorize: about('write', 'RemoteMCPServer'),
    async handle({ caller, found }) {
      const { subject, principal } = caller;
      await o.tools.discover(found.metadata.uid, { subject, administrator: principal.role === 'ADMIN' });
      return control.view(current(found));
    },
  });

  const secretValues = route<z.infer<typeof setSecret>, Record<string, never>, StoredResource>({
    method: 'PUT',
    path: '/secrets/:name/values',
    summary: 'Sets fields of a Secret. Nothing ever reads them back',
    budget: 'applies',
    body: setSecret,
    responses: { 200: resourceView },
    authorize: about('write', 'Secret'),
    async handle({ caller, body, found, requestId }) {
      const statements = [];
      for (const [field, value] of Object.entries(body.data))
        statements.push(
          ...(await o.vault.seal({ kind: 'Secret', uid: found.metadata.uid, field }, SecretValue.of(value))),
        );
      await o.store.commit({
        statements,
        changes: [{ kind: 'Secret', key: found.metadata.uid, op: 'put' }],
        audit: [
          o.audit.line({
            type: 'change',
            phase: 'single',
            principal: refOf(caller.principal),
            requestId,
            target: {
              kind: 'Secret',
              uid: found.metadata.uid,
              name: found.metadata.name,
              namespace: namespaceOrDefault(found.metadata),
            },
            outcome: 'rotated',
            data: { fields: Object.keys(body.data) },
          }),
        ],
      });
      return control.view(found);
    },
  });

  const confirmGrant = route<undefined, Record<string, never>, StoredResource>({
    method: 'POST',
    path: '/grants/:name/actions/confirm',
    summary: 'Binds a Grant to what has the name of its target by now; takes `admin` on that',
    budget: 'applies',
    responses: { 200: resourceView },
    authorize: about('read', 'Grant'),
    async handle({ caller, found, requestId }) {
      const once = async () => {
        const { apiVersion, kind, spec, metadata } = current(found);
        const { name, namespace, labels, annotations, resourceVersion } = metadata;
        // Bound as it was read: a change that somebody made meanwhile is not undone.
        const input = { apiVersion, kind, spec, metadata: { name, namespace, labels, annotations, resourceVersion } };
        const placed = documentOf('Grant', JSON.parse(JSON.stringify(input)));
        await control.write(caller, [placed], { rebind: true, requestId });
      };
      await again(o, TRIES, once, isStale);
      return control.view(current(found));
    },
  });

  return [apply, confirmGrant, approve, discover, secretValues, ...kindNames.flatMap(routesOf)];
}

/** What the approver saw is what is there, at the place where it was found. */
function unchanged(
  { metadata, spec, status }: ResourceOf<'RemoteMCPServer'>,
  seen: z.infer<typeof approveTools>['tools'],
): void {
  if (status.approvedFor !== placeOf(spec))
    throw new HttpProblem(
      'tool_changed',
      `the address or auth of ${metadata.name} has changed, and its tools could not be listed there yet`,
    );
  for (const { name, hash } of seen) {
    const known = status.tools?.find((tool) => tool.name === name);
    if (!known) throw new HttpProblem('invalid_request', `${metadata.name} has not been found to offer ${name}`);
    if (known.hash !== hash)
      throw new HttpProblem(
        'tool_changed',
        `${name} of ${metadata.name} has changed since it was looked at: look again`,
      );
  }
}
