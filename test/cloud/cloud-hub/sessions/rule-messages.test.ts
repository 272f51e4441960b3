import { expect, test } from "bun:test";
import { textPayload } from "#shared/bytes";
import type { ServiceCall, ServiceDelivery, UserDelivery } from "#shared/topics";
import {
  clientPair,
  RawNode,
  startHarness,
  type Harness,
} from "#internal/test/cloud/cloud-hub/hub-harness.ts";
import { startLinked } from "./linked-hubs.ts";

const call: ServiceCall = {
  port: 8080,
  method: "POST",
  path: "/a?b=c:d",
  headers: [
    ["x-a", "1"],
    ["__proto__", "2"],
    ["x-a", "3"],
  ],
  body: new Uint8Array([0, 255]),
};

/** A node as KubeEdge's: it announces nothing. */
async function kubeEdgeNode(harness: Harness): Promise<RawNode> {
  const raw = new RawNode(harness, await clientPair(harness.authority, "system:node:e1"), { node: "e1" });
  await raw.opened;
  await harness.until((events) => events.some(({ topic }) => topic === "connected"));
  return raw;
}

test("a call reaches our node with its bytes, and so does the reply, whatever its status", async () => {
  await using linked = await startLinked();
  const taken: ServiceDelivery[] = [];
  linked.edge.call = async (delivery) => {
    taken.push(delivery);
    return { status: 502, headers: [["__proto__", "x"]], body: new Uint8Array([1, 254]) };
  };
  const reply = await linked.cloud.call("edge-1", call);
  expect([reply.status, reply.headers, [...reply.body]]).toEqual([502, [["__proto__", "x"]], [1, 254]]);
  const headers = [call.headers[0], call.headers[2], call.headers[1]];
  expect(taken).toEqual([
    { operation: "call", call: { ...call, path: "/a?b=c%3Ad", headers, body: Buffer.from([0, 255]) } },
  ] as never);
});

test("calls of one server do not wait for each other", async () => {
  await using linked = await startLinked();
  const first = Promise.withResolvers<undefined>();
  let count = 0;
  linked.edge.call = async () => {
    count += 1;
    if (count === 1) await first.promise;
    return { status: 200, headers: [], body: new Uint8Array() };
  };
  const slow = linked.cloud.call("edge-1", call);
  expect((await linked.cloud.call("edge-1", call)).status).toBe(200);
  first.resolve(undefined);
  expect((await slow).status).toBe(200);
});

test("a payload that is no text reaches our node as it is", async () => {
  await using linked = await startLinked();
  const taken: Uint8Array[] = [];
  linked.edge.publish = (command) => {
    if (command.operation === "publish") taken.push(command.payload);
  };
  const bytes = Uint8Array.from({ length: 256 }, (_, byte) => byte);
  const { text: payload } = textPayload(bytes);
  await linked.cloud.command("edge-1", { operation: "publish", topic: "a", payload, bytes });
  expect(taken).toEqual([Buffer.from(bytes)]);
});

test("our node confirms commands of rules once it carried them out, and reports a failure", async () => {
  await using linked = await startLinked();
  const taken: (UserDelivery | ServiceDelivery)[] = [];
  linked.edge.publish = (command) => {
    if (command.topic === "bad") throw new Error("the disk is full");
    taken.push(command);
  };
  linked.edge.call = async (delivery) => void taken.push(delivery);
  const { cloud } = linked;
  const confirmed = [
    await cloud.command("edge-1", { operation: "publish", topic: "a/b", payload: "on" }),
    await cloud.command("edge-1", { operation: "subscribe", topic: "default/a" }),
    await cloud.command("edge-1", { operation: "start", targetUrl: "http://cloud.example/echo" }),
  ];
  expect(confirmed).toEqual([true, true, true]);
  expect(taken).toEqual([
    { operation: "publish", topic: "a/b", payload: Buffer.from("on") },
    { operation: "subscribe", topic: "default/a" },
    { operation: "start", targetUrl: "http://cloud.example/echo" },
  ]);
  const failed = cloud.command("edge-1", { operation: "publish", topic: "bad", payload: "" });
  expect(await failed.catch(String)).toContain('Node "edge-1" failed: the disk is full');
  await expect(cloud.command("edge-2", { operation: "subscribe", topic: "a" })).rejects.toThrow(
    "is not connected",
  );
});

test("a program on a node gets the answer of a target, or why there is none", async () => {
  await using linked = await startLinked({ rules: true });
  linked.cloud.router.call = ({ node, targetUrl, payload }) => {
    if (targetUrl !== "http://cloud.example/echo") throw new Error("no rule names the target");
    return `${node} ${Buffer.from(payload).toString()}`;
  };
  const { edge } = linked;
  expect(await edge.callTarget("http://cloud.example/echo", '{"a":1}')).toEqual({
    ok: true,
    text: 'edge-1 {"a":1}',
  });
  expect(await edge.callTarget("http://other.example", "")).toEqual({
    ok: false,
    reason: "no rule names the target",
  });
  linked.link.cut({ refuse: true });
  await expect(edge.callTarget("http://cloud.example/echo", "")).rejects.toThrow();
});

test("a cloud without a router answers that it calls no targets", async () => {
  await using linked = await startLinked();
  expect(await linked.edge.callTarget("http://cloud.example/echo", "")).toEqual({
    ok: false,
    reason: "the router of this cloud is disabled",
  });
});

test("a node of KubeEdge gets a call in its words, and its reply without an operation arrives", async () => {
  await using harness = await startHarness();
  using raw = await kubeEdgeNode(harness);
  const replied = harness.call("e1", { ...call, headers: [["X-A", "1"]] });
  const message = await raw.next();
  expect([message.route, message.content]).toEqual([
    { source: "router_servicebus", group: "user", operation: "POST", resource: "8080:/a?b=c%3Ad" },
    { header: { "X-A": ["1"] }, body: "AP8=", method: "POST", url: "/a?b=c%3Ad" },
  ]);
  raw.say("servicebus", "", "", {
    group: "user",
    parentId: message.header.msg_id,
    content: JSON.stringify({ header: { Server: ["kubeedge-edgecore"] }, status_code: 404, body: "bm8=" }),
  });
  const { status, headers, body } = await replied;
  expect([status, headers, Buffer.from(body).toString()]).toEqual([
    404,
    [["Server", "kubeedge-edgecore"]],
    "no",
  ]);
});

test("a node of KubeEdge gets commands in its words and is not waited for", async () => {
  await using harness = await startHarness();
  using raw = await kubeEdgeNode(harness);
  const sent = [
    await harness.command("e1", { operation: "publish", topic: "a/b", payload: "on" }),
    await harness.command("e1", { operation: "unsubscribe", topic: "default/t" }),
    await harness.command("e1", { operation: "stop", targetUrl: "http://a.example/b" }),
  ];
  const messages = [await raw.next(), await raw.next(), await raw.next()];
  expect([sent, messages.map(({ route, content }) => [route, content])]).toEqual([
    [false, false, false],
    [
      [{ source: "router_eventbus", group: "user", operation: "publish", resource: "a/b" }, "on"],
      [{ source: "router_eventbus", group: "user", operation: "unsubscribe", resource: "default/t" }, null],
      [
        { source: "router_servicebus", group: "user", operation: "stop", resource: "http://a.example/b" },
        null,
      ],
    ],
  ]);
});

test("a reply that is no HTTP response is an error of the node", async () => {
  await using harness = await startHarness();
  using raw = await kubeEdgeNode(harness);
  const replied = harness.call("e1", call);
  const message = await raw.next();
  raw.say("servicebus", "upload", "", {
    group: "user",
    parentId: message.header.msg_id,
    content: { status_code: 99 },
  });
  await expect(replied).rejects.toThrow("the node sent no HTTP response");
});

test("an upload is answered once the router has it as well", async () => {
  await using harness = await startHarness({ rules: true });
  using raw = await kubeEdgeNode(harness);
  harness.router.wants = (content) => content !== "no room";
  raw.say("bus", "upload", "SYS/dis/upload_records", { group: "user", content: "no room" });
  raw.say("bus", "upload", "SYS/dis/upload_records", { group: "user", content: "kept" });
  const answer = await raw.next();
  expect([answer.route.operation, answer.content, harness.uploads]).toEqual([
    "response",
    "OK",
    ["no room", "kept"],
  ]);
});
