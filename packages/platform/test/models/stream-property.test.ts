import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { answerData } from '../../src/models/server-sent-events.ts';

async function read(chunks: readonly Uint8Array[]): Promise<string[]> {
  const all: string[] = [];
  async function* body() {
    yield* chunks;
  }
  for await (const data of answerData(body())) all.push(data);
  return all;
}

/** The bytes cut at these places. */
function cut(bytes: Uint8Array, places: readonly number[]): Uint8Array[] {
  const ends = [...new Set(places.map((place) => place % (bytes.length + 1)))].sort((a, b) => a - b);
  return [...ends, bytes.length].map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end));
}

const places = fc.array(fc.nat(), { maxLength: 30 });
const event = fc.record({
  data: fc.jsonValue().map((value) => JSON.stringify(value)),
  name: fc.option(fc.constantFrom('message', 'delta')),
  comment: fc.option(fc.constantFrom('', ' OPENROUTER PROCESSING', 'ü')),
});

test('any split of an event stream into chunks gives the same events, whatever ends its lines and whether the last is ended', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(event, { maxLength: 8 }),
      fc.constantFrom('\n', '\r\n'),
      fc.boolean(),
      places,
      async (events, end, ended, at) => {
        const text = events
          .map(
            ({ data, name, comment }) =>
              `${comment === null ? '' : `:${comment}${end}`}${name === null ? '' : `event: ${name}${end}`}data: ${data}${end}${end}`,
          )
          .join('');
        const bytes = Buffer.from(ended ? text : text.slice(0, text.length - end.length));
        assert.deepEqual(
          await read(cut(bytes, at)),
          events.map(({ data }) => data),
        );
      },
    ),
    { numRuns: 500 },
  );
});

test('any split of a whole JSON answer into chunks gives the one text', async () => {
  await fc.assert(
    fc.asyncProperty(fc.dictionary(fc.string(), fc.jsonValue()), places, async (value, at) => {
      const bytes = Buffer.from(`  ${JSON.stringify(value)}\n`);
      const [text = '', ...more] = await read(cut(bytes, at));
      assert.deepEqual([JSON.stringify(JSON.parse(text)), more], [JSON.stringify(value), []]);
    }),
    { numRuns: 500 },
  );
});
