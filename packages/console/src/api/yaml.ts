import type { Metadata } from '@onbehalf/resources';
import { stringify } from 'yaml';

/** What `onbehalf apply -f` takes: without what the server keeps. Words that YAML 1.1 read as something else are quoted. */
export function resourceYaml(resource: { apiVersion: string; kind: string; metadata: Metadata; spec: object }): string {
  const { name, namespace, labels, annotations } = resource.metadata;
  const document = {
    apiVersion: resource.apiVersion,
    kind: resource.kind,
    metadata: { name, namespace, labels, annotations },
    spec: resource.spec,
  };
  return stringify(document, { lineWidth: 0, compat: 'yaml-1.1', aliasDuplicateObjects: false });
}
