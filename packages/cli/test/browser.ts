/** The least that is a browser: cookies of one host, redirects, and a link that is redeemed before the sign-in. */
export function createBrowser(server: string) {
  const cookies = new Map<string, string>();
  async function visit(
    address: string,
    init: { method?: string; body?: string; form?: string } = {},
  ): Promise<Response> {
    const own = address.startsWith(server);
    const { form, ...rest } = init;
    const response = await fetch(address, {
      ...rest,
      ...(form !== undefined && { body: new URLSearchParams(form) }),
      redirect: 'manual',
      headers: own
        ? {
            cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; '),
            'sec-fetch-site': 'same-origin',
            ...(form !== undefined && { origin: server }),
            ...(init.body !== undefined && { origin: server, 'content-type': 'application/json' }),
          }
        : {},
    });
    if (own)
      for (const line of response.headers.getSetCookie()) {
        const [pair = ''] = line.split(';');
        cookies.set(pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1));
      }
    return response;
  }
  return {
    async redeem(link: string): Promise<number> {
      const { pathname, hash } = new URL(link);
      await visit(`${server}${pathname}`);
      return (await visit(`${server}/oidc/link`, { method: 'POST', body: JSON.stringify({ token: hash.slice(1) }) }))
        .status;
    },
    /** Follows redirects to wherever they end, and says yes on the page that confirms the sign-in. */
    open(address: string): boolean {
      (async () => {
        let at = address;
        for (let hop = 0; hop < 10; hop++) {
          const confirms = new URL(at).pathname.startsWith('/login/confirm/');
          const answer = await visit(at, confirms ? { method: 'POST', form: 'decision=yes' } : {});
          const location = answer.headers.get('location');
          if (location === null) return;
          at = new URL(location, at).href;
        }
      })().catch(() => undefined);
      return true;
    },
  };
}
