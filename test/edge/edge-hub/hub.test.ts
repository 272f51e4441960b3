import { expect, test } from "bun:test";
import { newMessage, responseTo, type WireMessage } from "#shared/wire";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { configOf, isKeepalive, stamp, startEdge } from "./hub-harness.ts";
import { ScriptedCloud } from "./scripted-cloud.ts";

test("edgehub acknowledges an object when it was taken, and answers an error when it was not", async () => {
  await using cloud = await ScriptedCloud.start();
  using dir = tempDir();
  let fails = true;
  await using edge = await startEdge(configOf(dir.path, cloud.port, cloud.token()), async () => {
    if (fails) throw new Error("disk full");
    return { ack: true };
  });
  await cloud.until(() => cloud.received.some(isKeepalive));
  const pod = newMessage(stamp, {
    source: "edgecontroller",
    group: "resource",
    operation: "insert",
    resource: "default/pod/web",
    content: { kind: "Pod", metadata: { name: "web" } },
  });
  const device = newMessage(stamp, {
    ...pod.route,
    source: "devicecontroller",
    group: "resource",
    operation: "insert",
    resource: "default/device/d",
    content: { metadata: { name: "d" } },
  });
  cloud.send(pod);
  await cloud.until(() => cloud.received.length === 2);
  fails = false;
  cloud.send(pod);
  cloud.send(device);
  await cloud.until(() => cloud.received.length === 4);
  expect(
    cloud.received.slice(1).map(({ header, route, content }) => [header.parent_msg_id, route, content]),
  ).toEqual([
    [pod.header.msg_id, { ...pod.route, operation: "error" }, "disk full"],
    [pod.header.msg_id, { ...pod.route, operation: "response" }, "OK"],
    [device.header.msg_id, { ...device.route, source: "meta", group: "twin", operation: "response" }, "OK"],
  ]);
  expect(edge.delivered.length).toBe(3);
});

test("edgehub answers a request with the object of the cloud and acknowledges it", async () => {
  await using cloud = await ScriptedCloud.start();
  using dir = tempDir();
  await using edge = await startEdge(configOf(dir.path, cloud.port, cloud.token()));
  await cloud.until(() => cloud.received.some(isKeepalive));
  const secret = { kind: "Secret", metadata: { name: "s" } };
  const answers: WireMessage[] = [];
  cloud.onMessage = (message) => {
    if (message.route.operation !== "query") return;
    answers.push(responseTo(stamp, message, secret, { source: "edgecontroller", group: "resource" }));
    for (const answer of answers) cloud.send(answer);
  };
  expect(await edge.ask({ type: "secret", namespace: "default", name: "s", timeoutMs: 5000 })).toEqual(
    secret,
  );
  await cloud.until(() => cloud.received.some(({ content }) => content === "OK"));
  expect(cloud.received.at(-1)?.header.parent_msg_id).toBe(answers[0]?.header.msg_id);
});

test("desired values of the node are not sent to a cloud of KubeEdge, which would never answer", async () => {
  await using cloud = await ScriptedCloud.start();
  using dir = tempDir();
  await using edge = await startEdge(configOf(dir.path, cloud.port, cloud.token()));
  await cloud.until(() => cloud.received.some(isKeepalive));
  const desired = { uid: "d", values: [] };
  const answer = await edge.desire({ namespace: "default", name: "thermo-1", desired, timeoutMs: 5000 });
  expect(answer.failure?.code).toBe(501);
  expect(cloud.received.filter((message) => !isKeepalive(message))).toEqual([]);
});

test("edgehub logs the reason of a cloud that refuses it, and what to do", async () => {
  await using cloud = await ScriptedCloud.start();
  const reason = `the certificate of "system:node:pi-1"\r\n does not\u{7} speak for "pi-9"\n`;
  cloud.refuseNext = `HTTP/1.1 403 Forbidden\r\nContent-Length: ${reason.length}\r\n\r\n${reason}`;
  using dir = tempDir();
  await using edge = await startEdge(configOf(dir.path, cloud.port, cloud.token()));
  await cloud.until(() => cloud.handshakes.length === 2);
  expect(edge.log.lines.find((line) => line.includes("403"))).toContain(
    'cloudcore answers 403 to the handshake: the certificate of \\"system:node:pi-1\\" does not speak for \\"pi-9\\"; join again with a new token (`cloudcore token`), or give',
  );
});

test("edgehub reads no more than the start of an endless refusal", async () => {
  await using cloud = await ScriptedCloud.start();
  cloud.refuseNext = `HTTP/1.1 500 No\r\nContent-Length: 9000000\r\n\r\n${"x".repeat(5000)}`;
  using dir = tempDir();
  await using edge = await startEdge(configOf(dir.path, cloud.port, cloud.token()));
  await cloud.until(() => cloud.handshakes.length === 2);
  const line = edge.log.lines.find((line) => line.includes("answers 500")) ?? "";
  expect(/x+/.exec(line.slice(line.indexOf("handshake")))?.[0]).toHaveLength(600);
});

test("edgehub waits as long as a busy cloud asks before it dials again", async () => {
  await using cloud = await ScriptedCloud.start();
  cloud.refuseNext = "HTTP/1.1 503 Busy\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n";
  using dir = tempDir();
  await using _edge = await startEdge(configOf(dir.path, cloud.port, cloud.token()));
  await cloud.until(() => cloud.handshakes.length === 1);
  const refused = performance.now();
  await cloud.until(() => cloud.handshakes.length === 2);
  expect(performance.now() - refused).toBeGreaterThan(1900);
});

test("edgehub keeps its link when the cloud sends binary frames, and logs the first one", async () => {
  await using cloud = await ScriptedCloud.start();
  using dir = tempDir();
  await using edge = await startEdge(configOf(dir.path, cloud.port, cloud.token()));
  await cloud.until(() => cloud.received.some(isKeepalive));
  for (const size of [1, 2]) cloud.sendBinary(Buffer.alloc(size));
  const parts = { source: "edgecontroller", group: "resource", operation: "insert" };
  const content = { metadata: { name: "web" } };
  cloud.send(newMessage(stamp, { ...parts, resource: "default/pod/web", content }));
  await cloud.until(() => cloud.received.some(({ content: answer }) => answer === "OK"));
  const logged = edge.log.lines.filter((line) => line.includes("binary frame"));
  expect(logged.map((line) => (JSON.parse(line) as { bytes: number }).bytes)).toEqual([1]);
  expect(cloud.handshakes).toHaveLength(1);
});
