import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { SecretValue } from '@onbehalf/secret-value';
import { ACT_BY, type ProfileName } from '@onbehalf/token-exchange';
import { dialects } from '@onbehalf/token-exchange/testing';
import { BY_NUMBER } from '../src/profiles/entra-obo.ts';
import type { FormField } from '../src/profiles/profile.ts';
import { profileOf } from '../src/profiles/registry.ts';
import { BY_ERROR, BY_STATUS, standardCode } from '../src/profiles/rfc8693.ts';
import { prepareTarget } from '../src/target.ts';
import { REFUSALS } from './refusals.ts';
import { client } from './setup.ts';

const folder = new URL('../../../docs/token-services/', import.meta.url);
const names = Object.keys(dialects) as ProfileName[];
const SECTIONS = [
  'Configure there',
  'Configure here',
  'What is sent',
  'What comes back',
  'Does the token name the agent',
  'Errors',
];
const readPage = (name: string) => readFile(new URL(`${name}.md`, folder), 'utf8');

interface ErrorRow {
  status: number;
  error: string | undefined;
  description: string | undefined;
  code: string;
  actBy: string;
}

function errorRows(page: string): ErrorRow[] {
  const row = /^\| (\d{3})(?: `([a-z_]+)`)?(?: "([^"]+)")? \| `([a-z_]+)` \| (\w+) \| [^|]+ \|$/gm;
  return [...page.matchAll(row)].map(([, status, error, description, code = '', actBy = '']) => ({
    ...{ status: Number(status), error, description, code, actBy },
  }));
}

const section = (page: string, title: string) =>
  page.split(/^## /m).find((part) => part.startsWith(`${title}\n`)) ?? '';

test('every profile has its page, and every page its profile', async () => {
  const files = (await readdir(folder)).filter((file) => file.endsWith('.md')).sort();
  assert.deepEqual(files, [...names.map((name) => `${name}.md`), 'README.md'].sort());
  const index = await readPage('README');
  for (const name of names) assert.ok(index.includes(`[\`${name}\`](${name}.md)`), name);
});

test('the standard errors are on the page for all, each with what becomes of it and who acts', async () => {
  const rows = errorRows(await readPage('README'));
  assert.deepEqual(
    rows.map(({ error, status }) => error ?? String(status)),
    [...Object.keys(BY_ERROR), ...Object.keys(BY_STATUS)].sort((a, b) => order(rows, a) - order(rows, b)),
  );
  for (const { status, error, code, actBy } of rows) {
    assert.equal(standardCode({ kind: 'exchange', status, error, description: undefined }), code, error);
    assert.equal(Object.entries(ACT_BY).find(([name]) => name === code)?.[1], actBy, code);
  }
});

const order = (rows: readonly ErrorRow[], name: string) =>
  rows.findIndex(({ error, status }) => (error ?? String(status)) === name);

for (const name of names) {
  const profile = profileOf(name);

  test(`the page of ${name} has every part, and the configuration that it shows names the profile`, async () => {
    const page = await readPage(name);
    for (const title of SECTIONS) assert.ok(section(page, title).length > title.length + 2, title);
    assert.match(page, new RegExp(`^# .*\\(\`${name}\`\\)`));
    if (name !== 'onbehalf') assert.ok(section(page, 'Configure here').includes(`profile: ${name}\n`));
  });

  test(`what the page of ${name} says of errors is what happens, and it names each that is special there`, async () => {
    const rows = errorRows(section(await readPage(name), 'Errors'));
    for (const { status, error, description, code, actBy } of rows) {
      assert.equal(profile.codeOf({ kind: 'exchange', status, error, description }), code, `${status} ${error}`);
      assert.equal(Object.entries(ACT_BY).find(([known]) => known === code)?.[1], actBy, code);
    }
    const has = (status: number, error: string, description: string | undefined, code: string) =>
      rows.some(
        (row) =>
          row.status === status &&
          row.error === error &&
          row.code === code &&
          (row.description === undefined || description?.startsWith(row.description) === true),
      );
    for (const [server, what, { error, status = 400, description }, code] of REFUSALS)
      if (server === name && error !== 'invalid_scope')
        assert.ok(has(status, error, description, code), `${name}: ${what}`);
    // What this profile understands otherwise than the standard, whatever the description.
    for (const error of Object.keys(BY_ERROR))
      for (const status of [400, 401, 403]) {
        const failure = { kind: 'exchange', status, error, description: undefined } as const;
        const code = profile.codeOf(failure);
        if (code === standardCode(failure) || (status !== 400 && code === profile.codeOf({ ...failure, status: 400 })))
          continue;
        // A status that decides alone has one row.
        assert.ok(
          rows.some((row) => row.status === status && row.code === code),
          `${name}: ${status} ${error} ${code}`,
        );
      }
  });

  test(`the page of ${name} lists exactly the fields that are sent`, async () => {
    const listed = section(await readPage(name), 'What is sent').matchAll(/^\| ((?:`\w+`(?:, )?)+) \|/gm);
    const fields = [...listed].flatMap(([, cell = '']) => [...cell.matchAll(/`(\w+)`/g)].map(([, field]) => field));
    const token = SecretValue.of('t');
    const sent = profile.exchangeForm({
      service: { name: 's', profile: name, client, connectorId: 'c' },
      target: prepareTarget({ audience: ['a'], resource: ['https://r.example'], scopes: ['s'] }),
      subject: { token, tokenType: 'urn:x' },
      actor: { token, tokenType: 'urn:x' },
      requestedTokenType: 'urn:x',
      delegate: name === 'onbehalf' ? 'agent:default/child' : undefined,
    });
    assert.deepEqual([...new Set(fields)].sort(), [...new Set(sent.map(([field]: FormField) => field))].sort());
  });
}

test('the page of entra-obo names each number that is understood', async () => {
  const page = await readPage('entra-obo');
  for (const number of Object.keys(BY_NUMBER)) assert.ok(page.includes(`"AADSTS${number}"`), number);
});
