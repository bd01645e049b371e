import { BlockList, isIP, isIPv4, isIPv6 } from 'node:net';
import { EgressError } from './errors.ts';

/** `never` cannot be listed; `closed` is let through only when an administrator lists its network; `listed` was. */
export type AddressClass = 'public' | 'listed' | 'closed' | 'never';

/** Instance metadata and its relatives: whoever reaches one holds the machine's own cloud credentials. */
const METADATA = blockList([
  '169.254.169.254/32',
  '169.254.170.2/32',
  '169.254.170.23/32',
  '100.100.100.200/32',
  '168.63.129.16/32',
  '192.0.0.192/32',
  'fd00:ec2::254/128',
  'fd00:ec2::23/128',
  'fd20:ce::254/128',
]);

/** IANA IPv4 Special-Purpose Address Registry (RFC 6890), multicast and class E. */
const CLOSED_V4 = blockList([
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
]);

/** Of IPv6 only global unicast (RFC 4291 section 2.4) is public, and within it not the tunnels and test networks. */
const GLOBAL_V6 = blockList(['2000::/3']);
const CLOSED_V6 = blockList(['2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20']);

/** How an address may be used, given the networks that administrators list. Anything that is no address is `never`. */
export function classify(address: string, listed: BlockList): AddressClass {
  if (isIPv4(address)) return classifyV4(address, listed);
  if (!isIPv6(address) || address.includes('%')) return 'never';
  const groups = expand(address);
  const mapped = groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff;
  if (mapped) return classifyV4(tail(groups), listed);
  if (METADATA.check(address, 'ipv6')) return 'never';
  if (embedded(groups).some((inner) => METADATA.check(inner, 'ipv4'))) return 'never';
  if (listed.check(address, 'ipv6')) return 'listed';
  return GLOBAL_V6.check(address, 'ipv6') && !CLOSED_V6.check(address, 'ipv6') ? 'public' : 'closed';
}

/** @param networks CIDR blocks, or single addresses. A malformed one is an error at start, not a hole later. */
export function blockList(networks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const network of networks) {
    const [address = '', prefix] = network.split('/');
    const version = isIP(address);
    const bits = prefix === undefined ? (version === 4 ? 32 : 128) : Number(prefix);
    const valid = version !== 0 && /^\d{1,3}$/.test(String(bits)) && bits <= (version === 4 ? 32 : 128);
    if (!valid) throw new EgressError('invalid_url', `${JSON.stringify(network)} is not a network in CIDR form`);
    list.addSubnet(address, bits, version === 4 ? 'ipv4' : 'ipv6');
  }
  return list;
}

function classifyV4(address: string, listed: BlockList): AddressClass {
  if (METADATA.check(address, 'ipv4')) return 'never';
  if (listed.check(address, 'ipv4')) return 'listed';
  return CLOSED_V4.check(address, 'ipv4') ? 'closed' : 'public';
}

/** The eight groups of an address; the URL parser writes every spelling in one canonical form first. */
function expand(address: string): number[] {
  const canonical = new URL(`http://[${address}]/`).hostname.slice(1, -1);
  const [head = '', rest] = canonical.split('::');
  const left = parseGroups(head);
  if (rest === undefined) return left;
  const right = parseGroups(rest);
  return [...left, ...new Array<number>(8 - left.length - right.length).fill(0), ...right];
}

function parseGroups(text: string): number[] {
  return text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16));
}

/** IPv4 addresses that a translator or tunnel could take out of this one (RFC 6052, RFC 3056, RFC 4380, RFC 5214). */
function embedded(groups: readonly number[]): string[] {
  const [, second = 0, third = 0] = groups;
  const obfuscated = groups.map((group) => group ^ 0xffff);
  return [tail(groups), dotted(second, third), tail(obfuscated)];
}

function tail(groups: readonly number[]): string {
  return dotted(groups[6] ?? 0, groups[7] ?? 0);
}

function dotted(high: number, low: number): string {
  return [high >> 8, high & 255, low >> 8, low & 255].join('.');
}
