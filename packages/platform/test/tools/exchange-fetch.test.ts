import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { createTokenExchange, SecretValue, TokenExchangeError } from '@onbehalf/token-exchange';
import { nodeCrypto } from '@onbehalf/token-exchange/node';
import { type Anomaly, startFakeTokenService } from '@onbehalf/token-exchange/testing';
import { createEgress } from '../../src/egress/index.ts';
import { exchangeFetch } from '../../src/tools/exchange-fetch.ts';

const target = { audience: [], resource: ['https://orders.example/mcp'], scopes: ['orders.read'] };

for (const [anomaly, code] of [
  [undefined, undefined],
  ['redirect_307', 'untrusted_response'],
  ['huge', 'untrusted_response'],
  ['html_200', 'untrusted_response'],
  ['token_with_space', 'untrusted_response'],
  [{ error: 'invalid_target' }, 'invalid_target'],
] as const)
  test(`X7 X8 by the egress, ${JSON.stringify(anomaly) ?? 'a good answer'} is what it is by any other way`, async () => {
    await using service = await startFakeTokenService();
    const egress = createEgress({ privateNetworks: ['127.0.0.1/32'] });
    const client = {
      auth: 'SecretBasic',
      id: 'platform',
      keyId: '1',
      secret: SecretValue.of('platform-secret'),
    } as const;
    const exchange = createTokenExchange({
      tokenService: { name: 'sts', issuer: service.issuer, profile: 'rfc8693', delegation: 'none', client },
      fetch: exchangeFetch(egress),
      crypto: nodeCrypto,
    });
    service.next(anomaly as Anomaly | undefined);
    const asked = exchange.token({ subject: await service.user('alice'), target });
    const got = await asked.then(
      ({ claims }) => claims?.sub,
      (error: unknown) => (error instanceof TokenExchangeError ? error.code : error),
    );
    assert.equal(got, code ?? 'alice');
    assert.equal(service.counts.elsewhere, 0);
    await egress.close();
  });

test('M1 by the egress, a token service at a private address that nobody listed gets nothing', async () => {
  let asked = 0;
  const server = createServer((_request, response) => {
    asked += 1;
    response.end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const egress = createEgress({ privateNetworks: [] });
  const { send } = exchangeFetch(egress);
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/token`;
  const request = { method: 'POST', headers: {}, body: 'a=b', signal: new AbortController().signal };
  await assert.rejects(send?.(url, request) ?? Promise.resolve());
  assert.equal(asked, 0);
  await egress.close();
  await new Promise((resolve) => server.close(resolve));
});
