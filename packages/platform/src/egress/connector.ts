import { lookup } from 'node:dns/promises';
import { type BlockList, isIP } from 'node:net';
import { buildConnector } from 'undici';
import { classify } from './addresses.ts';
import { EgressError, errorCode } from './errors.ts';

/** All addresses of a name. */
export type Resolve = (hostname: string) => Promise<readonly { address: string }[]>;

export const systemResolve: Resolve = (hostname) => lookup(hostname, { all: true, verbatim: true });

const MAX_ADDRESSES = 4;

/**
 * The addresses of a host that may be connected to, in the resolver's order. A name is resolved here and nowhere else,
 * so what was checked is what is connected to, whatever the name server says next.
 */
export async function resolveChecked(url: URL, listed: BlockList, resolve: Resolve): Promise<string[]> {
  const host = hostOf(url);
  const found = isIP(host) === 0 ? await resolveName(host, resolve) : [host];
  const plain = url.protocol === 'http:';
  const allowed = found.filter((address) => {
    const kind = classify(address, listed);
    // Plain http carries tokens in the clear: only inside networks that an administrator listed.
    return kind === 'listed' || (kind === 'public' && !plain);
  });
  if (allowed.length > 0) return allowed.slice(0, MAX_ADDRESSES);
  const onlyPlain = plain && found.some((address) => classify(address, listed) === 'public');
  if (onlyPlain) throw new EgressError('scheme_forbidden', `${host}: plain http needs an address in a listed network`);
  throw new EgressError('address_forbidden', `${host}: no address that may be connected to`);
}

/** The URL's host, without the brackets of an IPv6 literal. */
export function hostOf(url: URL): string {
  return url.hostname.startsWith('[') ? url.hostname.slice(1, -1) : url.hostname;
}

/** An undici connector: checked addresses in turn, within `connectMs` for resolving and connecting together. */
export function checkedConnector(o: {
  listed: BlockList;
  resolve: Resolve;
  connectMs: number;
  tls: { ca?: string; cert?: string; key?: string };
}): buildConnector.connector {
  const connect = buildConnector({ timeout: o.connectMs, ...o.tls });

  async function open(options: buildConnector.Options): Promise<Socket> {
    const url = new URL(`${options.protocol}//${options.host ?? options.hostname}`);
    const host = hostOf(url);
    let failure = 'no address';
    for (const address of await resolveChecked(url, o.listed, o.resolve)) {
      // The certificate is checked against the name, the connection goes to the address.
      const servername = isIP(host) === 0 ? { servername: host } : {};
      const outcome = await attempt(connect, { ...options, ...servername, hostname: address });
      if (!(outcome instanceof Error)) return outcome;
      failure = errorCode(outcome) ?? 'failed';
    }
    throw new EgressError('connect_failed', `${host}: ${failure}`);
  }

  return (options, callback) => {
    let expired = false;
    const timer = setTimeout(() => {
      expired = true;
      callback(new EgressError('deadline', `${options.hostname}: no connection within connectMs`), null);
    }, o.connectMs);
    open(options).then(
      (socket) => {
        clearTimeout(timer);
        if (expired) socket.destroy();
        else callback(null, socket);
      },
      (error: Error) => {
        clearTimeout(timer);
        if (!expired) callback(error, null);
      },
    );
  };
}

type Socket = NonNullable<Parameters<buildConnector.Callback>[1]>;

function attempt(connect: buildConnector.connector, options: buildConnector.Options): Promise<Socket | Error> {
  return new Promise((settle) => {
    connect(options, (error, socket) => settle(error ?? socket ?? new Error('no socket')));
  });
}

async function resolveName(host: string, resolve: Resolve): Promise<string[]> {
  try {
    return (await resolve(host)).map(({ address }) => address);
  } catch (error) {
    throw new EgressError('resolve_failed', `${host}: ${errorCode(error) ?? 'the name does not resolve'}`);
  }
}
