import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../examples/demo/free-port.ts';
import { signInAtKeycloak } from '../examples/keycloak/sign-in.ts';
import { hasKeycloak, startKeycloak } from '../tools/keycloak.ts';

const WARM_UP = 400;
const REQUESTS = 400;
const AT_ONCE = 8;
/** Microseconds; Linux counts for programs in hundredths of a second (USER_HZ). */
const TICK = 10_000;

/** CPU microseconds of one exchange at a real Keycloak, warmed up; nothing where it has not been set up. */
export async function exchangeAtKeycloak(): Promise<number | undefined> {
  if (!hasKeycloak()) return undefined;
  const dir = await mkdtemp(join(tmpdir(), 'onbehalf-keycloak-'));
  const realm = join(import.meta.dirname, '..', 'examples', 'keycloak', 'realm.json');
  const keycloak = await startKeycloak({ port: await freePort(), realm, dir });
  try {
    const issuer = `${keycloak.url}/realms/office`;
    const { accessToken } = await signInAtKeycloak(issuer, 'alice', 'alice-password');
    const body = new URLSearchParams({
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token: accessToken,
      subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      audience: 'orders',
    }).toString();
    const authorization = `Basic ${Buffer.from('onbehalf:onbehalf-secret').toString('base64')}`;
    const headers = { authorization, 'content-type': 'application/x-www-form-urlencoded' };
    const exchange = async () => {
      const answer = await fetch(`${issuer}/protocol/openid-connect/token`, { method: 'POST', headers, body });
      if (answer.status !== 200) throw new Error(`Keycloak answered ${answer.status}: ${await answer.text()}`);
      await answer.arrayBuffer();
    };
    const many = async (count: number) => {
      let left = count;
      await Promise.all(
        Array.from({ length: AT_ONCE }, async () => {
          while (left-- > 0) await exchange();
        }),
      );
    };
    await many(WARM_UP);
    const before = cpuOf(keycloak.pid);
    await many(REQUESTS);
    return (cpuOf(keycloak.pid) - before) / REQUESTS;
  } finally {
    await keycloak.stop();
    await rm(dir, { recursive: true, force: true });
  }
}

/** Microseconds of a process and of those that it started: user and system time, fields 14 and 15 of proc(5). */
function cpuOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
  return (Number(fields[11]) + Number(fields[12])) * TICK + children.reduce((sum, child) => sum + cpuOf(child), 0);
}
