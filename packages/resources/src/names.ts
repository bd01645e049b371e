/** Here, beside no schema: a browser that needs a name loads no validation. */
export const DEFAULT_NAMESPACE = 'default';

interface Named {
  name: string;
  namespace?: string | undefined;
}

/** An agent, or whoever acts in its place: by uid, since one that is made again under a name is another. */
export interface AgentIdentity {
  uid: string;
  namespace: string;
  name: string;
}

export const namespaceOrDefault = ({ namespace }: Pick<Named, 'namespace'>): string => namespace ?? DEFAULT_NAMESPACE;

/** `NAMESPACE/NAME` */
export const qualifiedName = (named: Named): string => `${namespaceOrDefault(named)}/${named.name}`;

export const identityOf = ({ metadata }: { metadata: Named & { uid: string } }): AgentIdentity => ({
  uid: metadata.uid,
  namespace: namespaceOrDefault(metadata),
  name: metadata.name,
});
