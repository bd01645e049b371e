import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { ExchangeTrial } from '@onbehalf/resources';
import { signInAtKeycloak } from '../../examples/keycloak/sign-in.ts';
import { hasKeycloak, type RunningKeycloak, setUpKeycloak, startKeycloak } from '../../tools/keycloak.ts';
import { realmOf, startOurServer } from './keycloak-world.ts';
import { freePort } from './world.ts';

const REALM = join(import.meta.dirname, '..', '..', 'examples', 'keycloak', 'realm.json');
const wanted = process.env.CI !== undefined || hasKeycloak();

describe('the doctor at a real Keycloak', {
  skip: wanted ? false : 'Keycloak has not been set up on this machine; under CI it is',
}, () => {
  let dir: string;
  let keycloak: RunningKeycloak;
  let ours: Awaited<ReturnType<typeof startOurServer>>;
  let realm: ReturnType<typeof realmOf>;
  before(
    async () => {
      await setUpKeycloak();
      dir = await mkdtemp(join(tmpdir(), 'onbehalf-doctor-'));
      keycloak = await startKeycloak({ port: await freePort(), realm: REALM, dir });
      realm = realmOf(keycloak);
      ours = await startOurServer(keycloak.url, { orders: [], hr: [], payroll: [] });
    },
    { timeout: 900_000 },
  );
  after(async () => {
    await ours?.close();
    await keycloak?.stop();
    if (dir) await rm(dir, { recursive: true, force: true });
  });
  const signIn = (name: string) => signInAtKeycloak(`${keycloak.url}/realms/office`, name, `${name}-password`);

  test('what is missing at Keycloak is named, one thing after the other taken away and put back', async () => {
    interface Named {
      id: string;
      name?: string;
      clientId?: string;
      attributes?: Record<string, string>;
    }
    const clients = await realm<Named[]>('GET', '/clients');
    const scopes = await realm<Named[]>('GET', '/client-scopes');
    const idOf = (all: Named[], name: string) =>
      all.find((one) => one.clientId === name || one.name === name) ?? assert.fail(name);
    const requester = idOf(clients, 'agent-assistant');
    const orders = idOf(clients, 'orders');
    const mapperTakenAway = async (scope: string, mapper: string) => {
      const path = `/client-scopes/${idOf(scopes, scope).id}/protocol-mappers/models`;
      const { id, ...found } = idOf(await realm<Named[]>('GET', path), mapper);
      await realm('DELETE', `${path}/${id}`);
      return () => realm('POST', path, found);
    };
    const clientChanged = async (client: Named, change: Record<string, unknown>) => {
      const before = await realm<Record<string, unknown>>('GET', `/clients/${client.id}`);
      await realm('PUT', `/clients/${client.id}`, { ...before, ...change });
      return () => realm('PUT', `/clients/${client.id}`, before);
    };
    const cases: [takeAway: () => Promise<() => Promise<unknown>>, advice: RegExp][] = [
      [
        () => mapperTakenAway('tool-servers', 'audience orders'),
        /default scope with an audience mapper for this audience/,
      ],
      [() => mapperTakenAway('exchangeable', 'audience agent-assistant'), /subject token's `aud`/],
      [
        () =>
          clientChanged(requester, {
            attributes: { ...requester.attributes, 'standard.token.exchange.enabled': 'false' },
          }),
        /"Standard token exchange" on at this client/,
      ],
      [() => clientChanged(requester, { secret: 'another-secret' }), /client id and its secret/],
      [() => clientChanged(orders, { clientId: 'orders-renamed' }), /create a client whose id is this audience/],
    ];
    const trial = async () =>
      (
        await ours.world.as<ExchangeTrial>(
          (
            await signIn('alice')
          ).accessToken,
          'POST',
          '/mcp-servers/orders/actions/test-exchange?agent=assistant',
        )
      ).body;
    assert.equal((await trial()).ok, true, JSON.stringify(await trial()));
    for (const [takeAway, advice] of cases) {
      const putBack = await takeAway();
      const found = await trial();
      await putBack();
      assert.match(found.advice ?? '', advice, JSON.stringify(found));
      assert.equal(found.actBy, 'administrator');
    }
    assert.equal((await trial()).ok, true, 'everything was put back');
  });
});
