/** A request to the token service, as it goes out. */
export interface PlainRequest {
  /** `GET` where it is left out. */
  readonly method?: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** A form. */
  readonly body?: string;
  /** Ends it. */
  readonly signal: AbortSignal;
}

/** Its answer, read whole. */
export interface PlainAnswer {
  /** HTTP status; of a redirect that was not followed, that of the redirect. */
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  /** Where it is longer than 64 KiB, the rest may be missing: it is refused. */
  readonly body: Uint8Array | string;
}

/**
 * Sends a request and reads its answer whole, which costs half of what `fetch` does. It follows no redirect.
 * @param url where to
 * @param request what is sent
 */
export type SendPlain = (url: string, request: PlainRequest) => Promise<PlainAnswer>;

/** A `fetch`, and if it has one, the shorter way beside it. */
export type ExchangeFetch = typeof fetch & {
  /** Instead of the call itself, for what goes to the token service; keys are fetched by the call. */
  readonly send?: SendPlain;
};
