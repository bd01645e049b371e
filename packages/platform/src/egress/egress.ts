import { createHash } from 'node:crypto';
import { isIP } from 'node:net';
import { Agent, type Dispatcher, ProxyAgent } from 'undici';
import { blockList, classify } from './addresses.ts';
import { checkedConnector, hostOf, type Resolve, resolveChecked, systemResolve } from './connector.ts';
import { EgressError, toEgressError } from './errors.ts';
import { fetchThrough } from './fetch.ts';
import { createMeter, DEFAULT_LIMITS, Deadline, type Limits } from './limits.ts';
import type { EgressInit, EgressRequest, EgressResponse, TlsSettings } from './message.ts';

export interface EgressOptions {
  /** CIDR blocks that administrators open. Cloud metadata addresses stay closed even when listed. */
  privateNetworks: readonly string[];
  resolve?: Resolve;
  /** A forward proxy, used for the named hosts only. It resolves their names itself. */
  proxy?: { url: string; hosts: readonly string[] };
  /** PEM certificates to trust instead of the system's. */
  ca?: string;
}

export interface Egress {
  /** Like `fetch`; redirects are an `EgressError`, or with `redirect: 'manual'` the answer itself. Never followed. */
  fetch(input: string | URL | Request, init?: EgressInit): Promise<Response>;
  /** The lean way for model streams: Buffers in, Buffers out. A redirect is an `EgressError`, unless it is asked for. */
  request(url: string | URL, init?: EgressRequest): Promise<EgressResponse>;
  /** Throws the `EgressError` that a request to this URL would meet before it connects. */
  check(url: string): Promise<void>;
  /** Ends every connection, requests under way included. */
  close(): Promise<void>;
}

const REDIRECTS = new Set([301, 302, 303, 307, 308]);
const CONNECTIONS_PER_ORIGIN = 256;
const MAX_ORIGINS = 1024;
const MAX_DISPATCHERS = 256;
const CONNECT_STEP_MS = 250;
const CONNECT_MAX_MS = 30_000;

export function createEgress(o: EgressOptions): Egress {
  const listed = blockList(o.privateNetworks);
  const resolve = o.resolve ?? systemResolve;
  const proxied = new Set(o.proxy?.hosts.map((host) => host.toLowerCase()));
  const dispatchers = new Map<string, Dispatcher>();

  // undici takes the connect time-out per dispatcher, so there is one per rounded value and setting: a bounded number.
  function dispatcherFor(url: URL, connectMs: number, tls: TlsSettings | undefined): Dispatcher {
    const steps = Math.ceil(Math.min(Math.max(connectMs, 1), CONNECT_MAX_MS) / CONNECT_STEP_MS);
    const viaProxy = proxied.has(hostOf(url));
    const key = `${steps} ${viaProxy} ${tls === undefined ? '' : settingsKey(tls)}`;
    const known = dispatchers.get(key);
    if (known !== undefined) {
      // The one that was used longest ago stands first.
      dispatchers.delete(key);
      dispatchers.set(key, known);
      return known;
    }
    const timeout = steps * CONNECT_STEP_MS;
    const pool = {
      connections: CONNECTIONS_PER_ORIGIN,
      maxOrigins: MAX_ORIGINS,
      pipelining: 1,
      keepAliveTimeout: 10_000,
      keepAliveMaxTimeout: 60_000,
    };
    const settings = tlsOptions({ ...(o.ca !== undefined && { ca: o.ca }), ...tls });
    const made =
      viaProxy && o.proxy !== undefined
        ? new ProxyAgent({
            ...pool,
            uri: o.proxy.url,
            requestTls: { timeout, ...settings },
            proxyTls: { timeout, ...(o.ca !== undefined && { ca: o.ca }) },
          })
        : new Agent({ ...pool, connect: checkedConnector({ listed, resolve, connectMs: timeout, tls: settings }) });
    dispatchers.set(key, made);
    const [oldest] = dispatchers;
    if (dispatchers.size > MAX_DISPATCHERS && oldest !== undefined) {
      dispatchers.delete(oldest[0]);
      // What is under way there ends by itself.
      oldest[1].close().catch(() => undefined);
    }
    return made;
  }

  function admit(input: string | URL): URL {
    const url = parseUrl(input);
    const host = hostOf(url);
    // A literal is refused here too, so that a proxy cannot be used to reach what we would not.
    if (isIP(host) !== 0 && ['closed', 'never'].includes(classify(host, listed))) {
      throw new EgressError('address_forbidden', `${host}: not an address that may be connected to`);
    }
    if (proxied.has(host) && url.protocol === 'http:') {
      throw new EgressError('scheme_forbidden', `${host}: plain http through a proxy`);
    }
    return url;
  }

  async function send(input: string | URL, init: EgressRequest, manual: boolean): Promise<EgressResponse> {
    const url = admit(input);
    const host = hostOf(url);
    const limits = { ...DEFAULT_LIMITS, ...init.limits };
    const deadline = new Deadline(host, limits, init.signal);
    try {
      const answer = await dispatcherFor(url, limits.connectMs, init.tls).request({
        origin: url.origin,
        path: url.pathname + url.search,
        method: init.method ?? 'GET',
        headers: init.headers ?? {},
        body: init.body ?? null,
        signal: deadline.signal,
        headersTimeout: 0,
        bodyTimeout: limits.idleMs,
      });
      deadline.answered();
      if (REDIRECTS.has(answer.statusCode) && !manual) {
        const refusal = new EgressError('redirect_refused', `${host}: answered ${answer.statusCode}`);
        deadline.abort(refusal);
        throw refusal;
      }
      return { status: answer.statusCode, headers: answer.headers, body: bounded(answer, host, limits, deadline) };
    } catch (error) {
      deadline.clear();
      throw init.signal?.aborted ? init.signal.reason : toEgressError(error, host);
    }
  }

  return {
    fetch: (input, init = {}) => fetchThrough(send, input, init),
    request: (url, init = {}) => send(url, init, init.redirect === 'manual'),
    check: async (input) => {
      const url = admit(input);
      if (!proxied.has(hostOf(url))) await resolveChecked(url, listed, resolve);
    },
    close: async () => {
      const open = [...dispatchers.values()];
      dispatchers.clear();
      await Promise.all(open.map((dispatcher) => dispatcher.destroy()));
    },
  };
}

const settingsKey = (tls: TlsSettings) =>
  createHash('sha256')
    .update(JSON.stringify([tls.ca, tls.identity]))
    .digest('base64url');

const tlsOptions = ({ ca, identity }: TlsSettings) => ({
  ...(ca !== undefined && { ca }),
  ...(identity !== undefined && { cert: identity, key: identity }),
});

function parseUrl(input: string | URL): URL {
  const url = URL.canParse(String(input)) ? new URL(String(input)) : undefined;
  if (url === undefined) throw new EgressError('invalid_url', 'not an absolute URL');
  if (url.protocol !== 'https:' && url.protocol !== 'http:') {
    throw new EgressError('scheme_forbidden', `${url.protocol} is not https`);
  }
  // RFC 9110 section 4.2.4: user information in an http URL is deprecated, and here it would bypass the vault.
  if (url.username !== '' || url.password !== '') {
    throw new EgressError('credentials_in_url', `${url.hostname}: credentials in a URL`);
  }
  if (url.hostname.endsWith('.')) throw new EgressError('invalid_url', 'a host name with a trailing dot');
  return url;
}

function bounded(
  answer: { body: AsyncIterable<Buffer>; headers: EgressResponse['headers'] },
  host: string,
  limits: Limits,
  deadline: Deadline,
): EgressResponse['body'] {
  const count = createMeter(host, limits, answer.headers['content-type']);
  let ended = false;
  const cancel = () => {
    if (ended) return;
    deadline.abort(new EgressError('upstream_failed', `${host}: the reader left`));
    deadline.clear();
  };
  async function* read() {
    try {
      for await (const chunk of answer.body) {
        count(chunk);
        yield chunk;
      }
      ended = true;
    } catch (error) {
      throw deadline.signal.aborted ? deadline.signal.reason : toEgressError(error, host);
    } finally {
      cancel();
      deadline.clear();
    }
  }
  return Object.assign(read(), { cancel });
}
