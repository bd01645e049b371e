import { type RemoteMcpServerSpec, registeredTargets, tokenServiceNameOf } from '@onbehalf/resources';
import type { Registry, Stored } from '../../store/index.ts';

export type Server = Stored<'RemoteMCPServer'>;

/** A tool server, and what it registers as a target here. */
export interface RegisteredTarget {
  server: Server;
  mode: 'Exchange' | 'Workload';
  audience: readonly string[];
  resource: readonly string[];
  scopes: readonly string[];
}

/** What a request asks for. At least one of the two is there. */
export interface AskedTarget {
  resource: string | undefined;
  audience: string | undefined;
}

export interface Targets {
  /** Those that register exactly what is asked, byte for byte. */
  find(asked: AskedTarget): readonly RegisteredTarget[];
}

/** The targets of the servers whose token service this is. Collected anew when a resource has changed. */
export function registeredAt(issuer: string, registry: Registry): Targets {
  let known: { revision: number; byValue: Map<string, RegisteredTarget[]> } | undefined;

  function collect(): Map<string, RegisteredTarget[]> {
    const revision = registry.revision();
    if (known?.revision === revision) return known.byValue;
    const byValue = new Map<string, RegisteredTarget[]>();
    for (const server of registry.list('RemoteMCPServer')) {
      const mode = modeOf(server.spec);
      if (mode === undefined || server.spec.enabled === false || !isHere(server)) continue;
      const target = { server, mode, ...registeredTargets(server.spec) };
      for (const value of new Set([...target.resource, ...target.audience])) {
        const list = byValue.get(value);
        if (list === undefined) byValue.set(value, [target]);
        else list.push(target);
      }
    }
    known = { revision, byValue };
    return byValue;
  }

  function isHere({ spec }: Server): boolean {
    const service = registry.get('TokenService', undefined, tokenServiceNameOf(spec));
    return service?.spec.issuer === issuer;
  }

  return {
    find({ resource, audience }) {
      const candidates = collect().get(resource ?? audience ?? '') ?? [];
      return candidates.filter(
        (target) =>
          (resource === undefined || target.resource.includes(resource)) &&
          (audience === undefined || target.audience.includes(audience)),
      );
    },
  };
}

function modeOf({ auth }: RemoteMcpServerSpec): RegisteredTarget['mode'] | undefined {
  return auth?.mode === 'Exchange' || auth?.mode === 'Workload' ? auth.mode : undefined;
}

/** RFC 8707 section 2: an absolute URI without a fragment. */
export function isResource(value: string): boolean {
  return /^[A-Za-z][A-Za-z0-9+.-]*:\S+$/.test(value) && !value.includes('#') && URL.canParse(value);
}

/** Nothing of this installation is ever a target: a token for it would be a token for every door behind it. */
export function isOurs(value: string, publicUrl: string): boolean {
  if (value === publicUrl) return true;
  return URL.canParse(value) && new URL(value).origin === new URL(publicUrl).origin;
}
