import { expect, test } from "bun:test";
import type { RuleCommand, ServiceCall, ServiceReply, TargetRequest } from "#shared/topics";
import { headerFromJson, type WireMessage } from "#shared/wire";
import { decodeCloudFrame } from "#internal/edge/edge-hub/codec/cloud-message.ts";
import { decodeUserDelivery } from "#internal/edge/edge-hub/codec/deliveries.ts";
import { decodeServiceDelivery, encodeServiceReply } from "#internal/edge/edge-hub/codec/service-messages.ts";
import { targetRequests } from "#internal/edge/edge-hub/codec/requests.ts";
import { clientPair, RawNode, stamp, startHarness } from "#internal/test/cloud/cloud-hub/hub-harness.ts";
import golden from "./golden/kubeedge-1.15-rules.json" with { type: "json" };

/**
 * Messages of rules that went over the link: between this cloudcore and an edgecore of KubeEdge 1.15.4 (`edgecore`), and
 * between a cloudcore of KubeEdge 1.15.4 and this edgecore (`cloudcore`).
 */
interface Recorded {
  readonly commands: readonly WireMessage[];
  readonly calls: readonly { readonly request: WireMessage; readonly reply: WireMessage }[];
  readonly uploads: readonly { readonly upload: WireMessage; readonly answer?: WireMessage }[];
}

const { edgecore, cloudcore } = golden as unknown as Record<"edgecore" | "cloudcore", Recorded>;

interface HttpContent {
  readonly header: Record<string, string[]>;
  readonly body: string;
  readonly method: string;
  readonly url: string;
  readonly status_code: number;
}

const httpOf = ({ content }: WireMessage): HttpContent => content as HttpContent;
const titleOf = ({ route }: WireMessage): string => `${route.operation} ${route.resource}`;

function callOf(request: WireMessage): ServiceCall {
  const { header, body, method } = httpOf(request);
  const [, port = "", path = ""] = /^(\d+):(.*)$/.exec(request.route.resource ?? "") ?? [];
  return {
    port: Number(port),
    method,
    path: decodeURIComponent(path),
    headers: headerFromJson(header),
    body: Buffer.from(body, "base64"),
  };
}

function replyOf(reply: WireMessage): ServiceReply {
  const { header, body, status_code: status } = httpOf(reply);
  return { status, headers: headerFromJson(header), body: Buffer.from(body, "base64") };
}

function commandOf({ route, content }: WireMessage): RuleCommand {
  const { source, operation, resource } = route;
  if (source === "router_servicebus") return { operation, targetUrl: resource } as RuleCommand;
  const payload = operation === "publish" ? { payload: content } : {};
  return { operation, topic: resource, ...payload } as RuleCommand;
}

async function connected(): Promise<{
  readonly harness: Awaited<ReturnType<typeof startHarness>>;
  readonly raw: RawNode;
}> {
  const harness = await startHarness({ rules: true });
  const pair = await clientPair(harness.authority, "system:node:ke-rule");
  const raw = new RawNode(harness, pair, { node: "ke-rule" });
  await raw.opened;
  await harness.until((events) => events.some(({ topic }) => topic === "connected"));
  return { harness, raw };
}

for (const { request, reply } of edgecore.calls)
  test(`KubeEdge's edgecore gets ${titleOf(request)} as recorded, and its reply is read`, async () => {
    const { harness, raw: node } = await connected();
    await using _harness = harness;
    using raw = node;
    const replied = harness.call("ke-rule", callOf(request));
    const { header, route, content } = await raw.next();
    expect([route, content]).toEqual([request.route, request.content]);
    raw.raw(JSON.stringify({ ...reply, header: { ...reply.header, parent_msg_id: header.msg_id } }));
    expect(await replied).toEqual(replyOf(reply));
  });

test("KubeEdge's edgecore gets the recorded commands", async () => {
  const { harness, raw: node } = await connected();
  await using _harness = harness;
  using raw = node;
  for (const command of edgecore.commands) {
    expect(await harness.command("ke-rule", commandOf(command))).toBe(false);
    const { route, content } = await raw.next();
    expect([route, content]).toEqual([command.route, command.content]);
  }
});

test("what KubeEdge's edgecore uploads reaches the router, and is answered as recorded", async () => {
  const { harness, raw: node } = await connected();
  await using _harness = harness;
  using raw = node;
  const asked: TargetRequest[] = [];
  const contents: string[] = [];
  harness.router.wants = (content) => contents.push(content) > 0;
  harness.router.call = (request) => {
    asked.push(request);
    return `cloud app got ${Buffer.from(request.payload).toString()}`;
  };
  for (const { upload, answer } of edgecore.uploads) {
    raw.raw(JSON.stringify(upload));
    const { header, route, content } = await raw.next();
    expect([header.parent_msg_id, route, content]).toEqual([
      upload.header.msg_id,
      answer?.route,
      answer?.content,
    ] as never);
  }
  expect(contents).toEqual(["hello up"]);
  expect(asked.map(({ node: name, targetUrl }) => [name, targetUrl])).toEqual([
    ["ke-rule", "http://127.0.0.1:28081/call"],
  ]);
});

function fromCloud(message: WireMessage): Parameters<typeof decodeServiceDelivery>[0] {
  const decoded = decodeCloudFrame(JSON.stringify(message));
  if (!decoded.ok) throw new Error(decoded.reason);
  return decoded.message;
}

for (const { request, reply } of cloudcore.calls)
  test(`${titleOf(request)} of KubeEdge's cloudcore is a call, and the reply has the form it took`, () => {
    const message = fromCloud(request);
    expect([message.receiver, decodeServiceDelivery(message)]).toEqual([
      "service",
      { operation: "call", call: callOf(request) },
    ]);
    const sent = JSON.parse(encodeServiceReply(stamp, message, replyOf(reply))) as WireMessage;
    expect([sent.header.parent_msg_id, sent.route, sent.content]).toEqual([
      request.header.msg_id,
      reply.route,
      reply.content,
    ] as never);
  });

for (const command of cloudcore.commands)
  test(`${titleOf(command)} of KubeEdge's cloudcore is a command`, () => {
    const message = fromCloud(command);
    const isOfServices = command.route.source === "router_servicebus";
    const read = isOfServices ? decodeServiceDelivery(message) : decodeUserDelivery(message);
    const { payload, ...rest } = { payload: undefined, ...commandOf(command) };
    expect([message.receiver, read]).toEqual([
      isOfServices ? "service" : "user",
      payload === undefined ? rest : { ...rest, payload: Buffer.from(payload) },
    ] as never);
  });

test("KubeEdge's cloudcore answers a program on this node with the text of the target", () => {
  const called = cloudcore.uploads.find(({ answer }) => answer !== undefined);
  const { upload, answer } = called as { upload: WireMessage; answer: WireMessage };
  const payload = Buffer.from(String(upload.content), "base64");
  const call = { targetUrl: upload.route.resource ?? "", payload, timeoutMs: 1000 };
  const sent = targetRequests.encode(call, upload.header.timestamp);
  expect(sent as object).toMatchObject({ ...upload.route, content: upload.content });
  expect(targetRequests.decode(fromCloud(answer), call)).toEqual({ ok: true, text: String(answer.content) });
});
