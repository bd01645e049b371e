import type { ExchangeFetch, SendPlain } from '@onbehalf/token-exchange';
import type { Egress, TlsSettings } from '../egress/index.ts';

/** What an exchange client refuses as too long. */
const MAX_BYTES = 65_536;

/**
 * How an exchange client gets out: through the egress, without the streams of the web where it needs none.
 * @param tlsOf the authority and client certificate for an origin, both ways alike
 */
export function exchangeFetch(
  egress: Pick<Egress, 'fetch' | 'request'>,
  tlsOf: (origin: string) => Promise<TlsSettings | undefined> = async () => undefined,
): ExchangeFetch {
  const send: SendPlain = async (url, { method = 'GET', headers, body, signal }) => {
    const answer = await egress.request(url, {
      method: method === 'POST' ? 'POST' : 'GET',
      headers: { ...headers, 'accept-encoding': 'identity' },
      body: body ?? null,
      signal,
      redirect: 'manual',
      tls: await tlsOf(new URL(url).origin),
    });
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of answer.body) {
      chunks.push(chunk);
      size += chunk.length;
      if (size > MAX_BYTES) break;
    }
    return { status: answer.status, headers: answer.headers, body: Buffer.concat(chunks) };
  };
  const asFetch: typeof fetch = async (input, init) => {
    const { origin } = new URL(input instanceof Request ? input.url : input);
    return egress.fetch(input, { ...init, tls: await tlsOf(origin) });
  };
  return Object.assign(asFetch, { send });
}
