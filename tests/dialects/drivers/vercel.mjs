// The Vercel AI SDK, version 6 with its own telemetry or 7 with @ai-sdk/otel, exported by OTLP/JSON.
//
// usage: node vercel.mjs 6|7, beside the packages; the scenario's file is named by SCENARIO
import { readFileSync } from "node:fs";

import { createOpenAI } from "@ai-sdk/openai";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { context, trace } from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { defaultResource, resourceFromAttributes } from "@opentelemetry/resources";
import { BasicTracerProvider, BatchSpanProcessor } from "@opentelemetry/sdk-trace-base";
import * as ai from "ai";
import { z } from "zod";

const version = process.argv[2];
const scenario = JSON.parse(readFileSync(process.env.SCENARIO, "utf8"));
const who = { sessionId: scenario.conversation_id, userId: scenario.user_id };

const provider = new BasicTracerProvider({
  resource: defaultResource().merge(resourceFromAttributes({ "service.name": process.env.OTEL_SERVICE_NAME })),
  spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())],
});
context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
trace.setGlobalTracerProvider(provider);

let telemetry = { experimental_telemetry: { isEnabled: true, functionId: "harbour", metadata: who } };
if (version === "7") {
  const { OpenTelemetry } = await import("@ai-sdk/otel");
  ai.registerTelemetry(new OpenTelemetry({ runtimeContext: true }));
  const includeRuntimeContext = { sessionId: true, userId: true };
  telemetry = { runtimeContext: who, telemetry: { functionId: "harbour", includeRuntimeContext } };
}

const openai = createOpenAI({ apiKey: process.env.OPENAI_API_KEY, baseURL: process.env.OPENAI_BASE_URL });
const common = { maxRetries: 0, providerOptions: { openai: { user: scenario.user_id } }, ...telemetry };
// Version 7 takes no system messages among the others.
const plain = { system: scenario.system, prompt: scenario.question };
const chat = { model: openai.chat(scenario.model), ...common };
const weather = ai.tool({
  description: scenario.tool.description,
  inputSchema: z.object({ city: z.string() }),
  execute: async () => scenario.tool_result,
});

await ai.generateText({ ...chat, ...plain });
for await (const _ of ai.streamText({ ...chat, ...plain }).textStream);
await ai.generateText({
  ...chat,
  system: scenario.system,
  prompt: scenario.tool_question,
  tools: { weather },
  stopWhen: ai.stepCountIs(3),
});
const failed = await ai.generateText({ ...chat, prompt: scenario.failing_question }).catch((error) => error);
if (failed.statusCode !== 429) throw failed;
await ai.embed({ model: openai.embedding(scenario.embedding_model), value: scenario.question, ...common });
const responses = { model: openai.responses(scenario.model), ...common };
await ai.generateText({ ...responses, ...plain });
for await (const _ of ai.streamText({ ...responses, ...plain }).textStream);
await provider.shutdown();
