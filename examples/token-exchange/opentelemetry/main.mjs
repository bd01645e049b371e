import assert from 'node:assert/strict';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { openTelemetryHooks } from '@onbehalf/token-exchange/opentelemetry';
import { metrics, trace } from '@opentelemetry/api';
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import { InMemorySpanExporter, NodeTracerProvider, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-node';
import { forEverybody, hooks, identityFetch, url } from '../person.mjs';

// Yours export somewhere else.
const spans = new InMemorySpanExporter();
new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spans)] }).register();
const measured = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
const reader = new PeriodicExportingMetricReader({ exporter: measured });
metrics.setGlobalMeterProvider(new MeterProvider({ readers: [reader] }));

const tracer = trace.getTracer('example');
Object.assign(hooks, openTelemetryHooks({ tracer, meter: metrics.getMeter('example') }));

const client = new Client({ name: 'example', version: '1.0.0' });
await client.connect(new StreamableHTTPClientTransport(new URL(url), { fetch: identityFetch }));
await forEverybody(() =>
  tracer.startActiveSpan('tool call', async (span) => {
    const result = await client.callTool({ name: 'list_orders', arguments: {} });
    span.end();
    return result;
  }),
);
await client.close();
await reader.forceFlush();

const done = spans.getFinishedSpans();
const calls = done.filter(({ name }) => name === 'tool call');
const exchanges = done.filter(({ name }) => name.startsWith('token exchange'));
const results = exchanges.map(({ attributes }) => attributes['onbehalf.exchange.result']);
// One request for each person; the calls beside it wait for it or find what it brought.
assert.deepEqual([calls.length, exchanges.length], [10, 10]);
assert.equal(results.filter((result) => result === 'exchanged').length, 2);
for (const { parentSpanContext, attributes } of exchanges) {
  assert.ok(calls.some((call) => call.spanContext().spanId === parentSpanContext?.spanId));
  assert.deepEqual(attributes['onbehalf.actors'], ['agent:default/assistant']);
}
const counted = measured
  .getMetrics()
  .at(-1)
  .scopeMetrics.flatMap((scope) => scope.metrics)
  .find(({ descriptor }) => descriptor.name === 'onbehalf.token_exchange.outcomes');
assert.equal(
  counted.dataPoints.reduce((sum, { value }) => sum + value, 0),
  10,
);
assert.doesNotMatch(JSON.stringify([exchanges.map(({ attributes }) => attributes), counted]), /eyJ/);
await reader.shutdown();
