// Sends spans through an official OTLP exporter of Node.js; prints the trace id and what was sent.
//
// usage: node send.mjs grpc http://host:port
//        node send.mjs http/protobuf|http/json http://host:port/v1/traces [gzip]
import { ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { OTLPTraceExporter as GrpcExporter } from "@opentelemetry/exporter-trace-otlp-grpc";
import { OTLPTraceExporter as JsonExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { OTLPTraceExporter as ProtobufExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BasicTracerProvider, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base";

const flat = {
  text: "häßlich \u{1F600} \"quoted\"\n",
  empty: "",
  whole: 42,
  negative: -7,
  real: 2.5,
  yes: true,
  no: false,
  texts: ["a", "b"],
  wholes: [1, 2, 3],
  reals: [0.5, 1.25],
  flags: [true, false],
  none: [],
};
// The SDK's setAttribute refuses these, the exporter's own encoder does not: the protocol has them.
const nested = {
  map: { role: "user", parts: [{ type: "text", content: "hello" }, { type: "n", value: 1.5 }], deep: { er: { est: true } } },
  lists: [[1, 2], ["x", [false]]],
  mixed: ["one", 2, 3.5, true],
  blank: {},
};
const bytes = new Uint8Array([0, 1, 254, 255]);

const [protocol, url, compression] = process.argv.slice(2);
const Exporter = { grpc: GrpcExporter, "http/protobuf": ProtobufExporter, "http/json": JsonExporter }[protocol];
const exporter = new Exporter({ url, compression });
const outcome = [];
const provider = new BasicTracerProvider({
  resource: resourceFromAttributes({ "service.name": "node-app", "process.pid": 4711, "host.tags": ["blue", "green"] }),
  spanProcessors: [
    new SimpleSpanProcessor({
      export(spans, done) {
        for (const span of spans) Object.assign(span.attributes, nested, { bytes });
        exporter.export(spans, (result) => {
          outcome.push(result);
          done(result);
        });
      },
      forceFlush: () => exporter.forceFlush(),
      shutdown: () => exporter.shutdown(),
    }),
  ],
});

const tracer = provider.getTracer("node-scope", "1.2.3");
const root = tracer.startSpan("root", { kind: SpanKind.SERVER, attributes: flat }, ROOT_CONTEXT);
const inRoot = trace.setSpan(ROOT_CONTEXT, root);
const link = { context: root.spanContext(), attributes: { why: "because", weight: 3 } };
const child = tracer.startSpan("child", { kind: SpanKind.CLIENT, attributes: flat, links: [link] }, inRoot);
child.addEvent("first", { n: 1, list: ["x", "y"] });
child.addEvent("second");
child.setStatus({ code: SpanStatusCode.ERROR, message: "it failed" });
child.end();
root.end();
await provider.forceFlush();
await provider.shutdown();

const failed = outcome.filter((result) => result.code !== 0);
if (outcome.length !== 2 || failed.length) throw new Error(`export failed: ${JSON.stringify(outcome)}`);
console.log(
  JSON.stringify({
    trace_id: root.spanContext().traceId,
    root_id: root.spanContext().spanId,
    child_id: child.spanContext().spanId,
    attributes: { ...flat, ...nested },
    bytes: [...bytes],
  }),
);
