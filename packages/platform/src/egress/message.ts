import type { Dispatcher } from 'undici';
import type { Limits } from './limits.ts';

/** PEM. Of one request: whom to trust instead of the system's authorities, and as whom to appear. */
export interface TlsSettings {
  ca?: string;
  /** The certificate, what is above it, and its private key. */
  identity?: string;
}

export interface EgressRequest {
  method?: Dispatcher.HttpMethod;
  headers?: Record<string, string | string[]>;
  body?: string | Buffer | Uint8Array | null;
  signal?: AbortSignal | undefined;
  limits?: Partial<Limits>;
  tls?: TlsSettings | undefined;
  /** `manual`: a redirect is an answer, which is still not followed. */
  redirect?: 'manual';
}

export interface EgressResponse {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  /** Raw bytes, not decoded. Leaving the loop early closes the connection. */
  body: AsyncIterable<Buffer> & { cancel(): void };
}

export type EgressInit = RequestInit & { limits?: Partial<Limits>; tls?: TlsSettings | undefined };
