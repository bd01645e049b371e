import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import type { SecretValue } from '@onbehalf/secret-value';

/** scrypt (RFC 7914) with N = 2^15, r = 8, p = 1: 32 MiB and some 60 ms. */
const COST = { N: 32_768, r: 8, p: 1, maxmem: 64 * 1024 * 1024 };
const KEY_LENGTH = 32;

const derive = (password: string, salt: Buffer, { N, r, p }: { N: number; r: number; p: number }): Promise<Buffer> =>
  new Promise((resolve, reject) =>
    scrypt(password.normalize('NFKC'), salt, KEY_LENGTH, { N, r, p, maxmem: COST.maxmem }, (error, key) =>
      error ? reject(error) : resolve(key),
    ),
  );

/** `scrypt$N$r$p$salt$key`, base64url. */
export async function hashPassword(password: SecretValue): Promise<string> {
  const salt = randomBytes(16);
  const key = await derive(password.reveal(), salt, COST);
  return ['scrypt', COST.N, COST.r, COST.p, salt.toString('base64url'), key.toString('base64url')].join('$');
}

/** Somebody who is not there costs as much time as somebody who is: `stored` undefined is compared with nothing. */
export async function passwordMatches(password: SecretValue, stored: string | undefined): Promise<boolean> {
  const [name, N, r, p, salt = '', key = ''] = (stored ?? '').split('$');
  if (name !== 'scrypt') {
    await derive(password.reveal(), Buffer.alloc(16), COST);
    return false;
  }
  const wanted = Buffer.from(key, 'base64url');
  const found = await derive(password.reveal(), Buffer.from(salt, 'base64url'), {
    N: Number(N),
    r: Number(r),
    p: Number(p),
  });
  return wanted.length === found.length && timingSafeEqual(wanted, found);
}
