import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type RemoteMcpServerSpec, resolveTarget, type TargetOverride } from '@onbehalf/resources';

const FILE = join(import.meta.dirname, 'golden', 'targets.json');
const URL_ = 'https://orders.example/mcp';
type Auth = Omit<NonNullable<RemoteMcpServerSpec['auth']>, 'mode'>;

const SERVERS: Record<string, Auth> = {
  'resource alone': { resource: [URL_] },
  'audience alone': { audience: ['orders'] },
  'both, with scopes': { audience: ['orders'], resource: [URL_], scopes: ['read'] },
  'from the URL': { resourceFrom: 'ServerURL' },
  'with allowOverride': {
    audience: ['orders'],
    scopes: ['read'],
    allowOverride: { audience: ['orders', 'archive'], resource: [URL_], scopes: ['read', 'write'] },
  },
  'only scopes may be chosen': { resource: [URL_], allowOverride: { scopes: ['read', 'write'] } },
};
const BINDINGS: Record<string, TargetOverride | undefined> = {
  'no binding': undefined,
  'binding: scopes': { scopes: ['write'] },
  'binding: another audience': { audience: ['archive'] },
  'binding: resource': { resource: [URL_] },
  'binding: all': { audience: ['archive'], resource: [URL_], scopes: ['write'] },
  'binding clears scopes': { scopes: [] },
  'binding clears audience': { audience: [] },
  'binding clears both': { audience: [], resource: [] },
  'binding: a stranger': { audience: ['payroll'] },
};
const AGENTS: Record<string, TargetOverride | undefined> = {
  'no agent': undefined,
  'agent: scopes': { scopes: ['read'] },
  'agent: audience': { audience: ['archive'] },
  'agent: a stranger': { scopes: ['admin'] },
};

/** Every level and every mixture, resolved or refused, as one file that a person reads in a review. */
test('targets resolve as the golden file says; set UPDATE_GOLDEN to write it anew', () => {
  const resolved: Record<string, unknown> = {};
  for (const [server, auth] of Object.entries(SERVERS))
    for (const [binding, override] of Object.entries(BINDINGS))
      for (const [agent, fallback] of Object.entries(AGENTS)) {
        const result = resolveTarget({ url: URL_, auth: { mode: 'Exchange', ...auth } }, override, fallback);
        resolved[`${server} | ${binding} | ${agent}`] =
          'target' in result
            ? Object.fromEntries(
                (['audience', 'resource', 'scopes'] as const).map((field) => [
                  field,
                  `${result.target[field].join(' ') || '-'} (${result.target.origin[field]})`,
                ]),
              )
            : result.problems.map((problem) => `${problem.level} ${problem.field}: ${problem.message}`);
      }
  const text = `${JSON.stringify(resolved, null, 2)}\n`;
  if (process.env.UPDATE_GOLDEN !== undefined) writeFileSync(FILE, text);
  assert.equal(readFileSync(FILE, 'utf8'), text);
});
