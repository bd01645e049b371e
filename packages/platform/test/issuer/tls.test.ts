import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';

import { identityFixture } from './fixture.ts';
import { createIdentity } from './identity.ts';

test('behind TLS every cookie is secure, and addresses are the public ones whatever name was used', async () => {
  await using f = await identityFixture();
  const publicUrl = 'https://agents.example.com';
  const { store, vault, audit, registry, egress, now } = f;
  const identity = await createIdentity({
    ...{ publicUrl, installation: 'tls', store, vault, audit, registry, egress, now },
    authorizeTarget: () => true,
  });
  await identity.users.create({ subject: 'carol', role: 'REGULAR' });
  const server = createServer((request, response) => void identity.handle(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  await using _closing = {
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await identity.close();
    },
  };
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const { token } = await identity.loginLinks.create('carol');
  const used = await fetch(`${base}/oidc/link`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ token: token.reveal() }),
  });
  const cookies = used.headers.getSetCookie();
  assert.ok(cookies.length > 0);
  for (const cookie of cookies) assert.match(cookie, /^__Host-[^;]+; path=\/;.*secure.*httponly/i);
  const begun = await identity.sessions.begin();
  assert.match(begun.setCookie[0] ?? '', /^__Host-.*; Secure/);
  const { pathname, search, origin } = new URL(begun.location);
  assert.equal(origin, publicUrl);
  const page = await fetch(base + pathname + search, { redirect: 'manual' });
  assert.match(page.headers.get('location') ?? '', /^\/login\/sign-in\//);
  for (const cookie of page.headers.getSetCookie()) assert.match(cookie, /^__Secure-.*; secure/i);
  const jar = cookies.map((cookie) => cookie.split(';', 1)[0]).join('; ');
  const done = await fetch(base + pathname + search, { redirect: 'manual', headers: { cookie: jar } });
  assert.match(done.headers.get('location') ?? '', /^https:\/\/agents\.example\.com\/login\/callback\?code=/);
});
