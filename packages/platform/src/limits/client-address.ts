import type { IncomingMessage } from 'node:http';
import { BlockList, isIP, isIPv4 } from 'node:net';

/** Of X-Forwarded-For, so many of the last hops are looked at. */
const MOST_HOPS = 16;

/**
 * Whose address a request is from: that of the last hop which is no proxy of ours. A header of anybody else counts for
 * nothing, and neither does what a proxy of ours was told by somebody who is none.
 */
export function clientAddresses(trustedProxies: readonly string[]): (request: IncomingMessage) => string {
  const trusted = new BlockList();
  for (const network of trustedProxies) {
    const [address = '', prefix] = network.split('/');
    const family = isIPv4(address) ? 'ipv4' : 'ipv6';
    trusted.addSubnet(address, Number(prefix ?? (family === 'ipv4' ? 32 : 128)), family);
  }
  const isTrusted = (address: string) => trusted.check(address, isIPv4(address) ? 'ipv4' : 'ipv6');
  return (request) => {
    const peer = plain(request.socket.remoteAddress ?? 'local');
    if (isIP(peer) === 0 || !isTrusted(peer)) return peer;
    const said = [request.headers['x-forwarded-for'] ?? []].flat().join(',');
    const hops = said
      .split(',')
      .slice(-MOST_HOPS)
      .map((hop) => plain(hop.trim()));
    let client = peer;
    for (const hop of hops.reverse()) {
      // What is no address ends the chain at the proxy that vouched for it.
      if (isIP(hop) === 0) return client;
      client = hop;
      if (!isTrusted(hop)) return client;
    }
    return client;
  };
}

/** An IPv4 address that a socket for both families shows as one of version 6. */
const plain = (address: string) => address.replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i, '');
