/**
 * What these programs share: one exchange, and one `fetch` for one client that serves many people. Who a request is for
 * is known where it begins, so it is kept there (AsyncLocalStorage) and not in the client. A request of nobody carries
 * no token.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { createIdentityFetch, createTokenExchange, SecretValue } from '@onbehalf/token-exchange';

const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';
const JWT = 'urn:ietf:params:oauth:token-type:jwt';

/** `{url, issuer, clientSecret, agent: {sub, token}, people: [{subject, token}]}` */
const given = JSON.parse(process.env.EXAMPLE ?? '{}');
export const { url } = given;

/** What a program wants to be told of exchanges. */
export const hooks = {};

const actor = SecretValue.of(given.agent.token);
const exchange = createTokenExchange({
  tokenService: {
    name: 'sts',
    issuer: given.issuer,
    profile: 'rfc8693',
    client: { auth: 'SecretBasic', id: 'platform', keyId: '1', secret: SecretValue.of(given.clientSecret) },
  },
  hooks,
  actor: {
    identity: { iss: given.agent.iss, sub: given.agent.sub },
    fixedToken: actor,
    current: async () => ({ token: actor, tokenType: JWT }),
  },
});
const target = { url, resource: [url], audience: [], scopes: ['orders.read'] };

const people = given.people.map(({ subject, token }) => {
  const secret = SecretValue.of(token);
  const source = {
    principal: { issuer: given.issuer, subject },
    refreshable: false,
    current: async () => ({ token: secret, tokenType: ACCESS_TOKEN, expiresAt: undefined }),
  };
  return { subject, fetch: createIdentityFetch({ exchange, target, subject: source })(fetch) };
});

/** The `fetch` of one person, where a framework says whom a request is for. Nobody's is the plain one. */
export const fetchOf = (subject) => people.find((person) => person.subject === subject)?.fetch ?? fetch;

const current = new AsyncLocalStorage();

/** Give this to a client in place of `fetch`. */
export const identityFetch = (input, init) => (current.getStore()?.fetch ?? fetch)(input, init);

/** Runs `work` five times for each person, all at once, and prints who got which answer. */
export async function forEverybody(work) {
  const rounds = people.flatMap((person) => Array.from({ length: 5 }, () => person));
  const answers = await Promise.all(
    rounds.map(async (person) => [
      person.subject,
      JSON.stringify(await current.run(person, () => work(person.subject))),
    ]),
  );
  console.log(JSON.stringify({ answers, requests: exchange.stats.requests }));
}
