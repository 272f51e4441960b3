import { expect, test } from "bun:test";
import { refusePod } from "#shared/pod-streams";
import { encodeBlock } from "#shared/streams";
import { podWorld, refuseWith, success } from "./pod-world.ts";

const status = JSON.stringify(success);
const exec = "one/exec?command=cat&command=-&stdin=1&stdout=1&stderr=1";

test("a log is asked of the node with all options, and answered as text", async () => {
  await using world = await podWorld();
  const query = "follow=true&previous=false&timestamps=1&sinceSeconds=60&tailLines=10&limitBytes=1000";
  const answer = await world.server.stream(`/api/v1/namespaces/default/pods/two/log?container=b&${query}`);
  expect([answer.headers.get("content-type"), await answer.text()]).toEqual([
    "text/plain",
    "line 1\nline 2\n",
  ]);
  const { uid, ...asked } = world.asked[0] ?? {};
  expect(uid).toHaveLength(36);
  expect(asked).toEqual({
    kind: "logs",
    namespace: "default",
    name: "two",
    container: "b",
    follow: true,
    previous: false,
    timestamps: true,
    tailLines: 10,
    limitBytes: 1000,
    sinceSeconds: 60,
  });
});

test("a log over a WebSocket begins with an empty message and ends with the connection", async () => {
  await using world = await podWorld();
  for (const protocols of [[], ["binary.k8s.io"]]) {
    await using socket = world.socket("one/log", protocols);
    expect([await socket.next(), await socket.next(), await socket.next()]).toEqual([
      [-1, ""],
      ["l".charCodeAt(0), "ine 1\nline 2\n"],
      "closed 1000",
    ]);
  }
});

test("a log over a WebSocket is base64 where the client asks for it", async () => {
  await using world = await podWorld();
  await using socket = world.socket("one/log", ["base64.binary.k8s.io", "binary.k8s.io"]);
  expect(await socket.next()).toEqual([-1, ""]);
  const message = await socket.next();
  const [first, rest] = typeof message === "string" ? [0, message] : message;
  expect(Buffer.from(String.fromCodePoint(first) + rest, "base64").toString()).toBe("line 1\nline 2\n");
});

test("a log over a WebSocket of another subprotocol is refused, and so is one of a pod that is not there", async () => {
  await using world = await podWorld();
  await using other = world.socket("one/log", ["v5.channel.k8s.io"]);
  expect(await other.next()).toContain("403");
  await using none = world.socket("none/log", ["binary.k8s.io"]);
  expect(await none.next()).toContain("404");
});

test("a client that leaves the WebSocket of a log ends it at the node", async () => {
  const ended = Promise.withResolvers<string | undefined>();
  await using world = await podWorld(async (stream) => {
    void stream.closed.then(({ reason }) => ended.resolve(reason));
    await stream.writable.getWriter().write(encodeBlock({ status: "Success" }));
  });
  await using socket = world.socket("one/log?follow=1", ["binary.k8s.io"]);
  await socket.next();
  socket.socket.terminate();
  expect(await ended.promise).toBeString();
});

test("a client that leaves ends the log at the node", async () => {
  const ended = Promise.withResolvers<string | undefined>();
  await using world = await podWorld(async (stream) => {
    void stream.closed.then(({ reason }) => ended.resolve(reason));
    const writer = stream.writable.getWriter();
    await writer.write(encodeBlock({ status: "Success" }));
    await writer.write(Buffer.from("line\n"));
  });
  const aborted = new AbortController();
  const answer = await world.server.stream(
    "/api/v1/namespaces/default/pods/one/log?follow=1",
    aborted.signal,
  );
  await answer.body?.getReader().read();
  aborted.abort();
  expect(await ended.promise).toBeString();
});

test("a refusal of the node is answered with its code and text", async () => {
  await using world = await podWorld(refuseWith(refusePod.badRequest("the container is waiting to start")));
  const { status: code, body } = await world.server.call("GET", "/api/v1/namespaces/default/pods/one/log");
  expect([code, body["reason"], body["message"]] as unknown[]).toEqual([
    400,
    "BadRequest",
    "the container is waiting to start",
  ]);
});

test("a process gets its input and its end by v5.channel.k8s.io, and its outcome is reported", async () => {
  await using world = await podWorld();
  await using socket = world.socket(exec, ["v5.channel.k8s.io", "v4.channel.k8s.io"]);
  expect(await socket.next()).toEqual([1, ""]);
  expect(socket.socket.protocol).toBe("v5.channel.k8s.io");
  socket.send(0, "hello");
  expect(await socket.next()).toEqual([1, "hello"]);
  socket.send(255, Uint8Array.of(0));
  expect([await socket.next(), await socket.next()]).toEqual([[3, status], "closed 1000"]);
  expect(world.asked).toMatchObject([{ kind: "exec", container: "a", command: ["cat", "-"], tty: false }]);
});

test("input of a large message arrives whole", async () => {
  await using world = await podWorld();
  await using socket = world.socket(exec, ["v5.channel.k8s.io"]);
  await socket.next();
  const sent = "0123456789abcdef".repeat(20_000);
  socket.send(0, sent);
  let got = "";
  while (got.length < sent.length) {
    const message = await socket.next();
    got += typeof message === "string" ? message : message[1];
  }
  expect(got === sent).toBe(true);
});

test("a terminal is resized", async () => {
  await using world = await podWorld();
  await using socket = world.socket("one/attach?stdin=1&stdout=1&tty=1", ["v4.channel.k8s.io"]);
  await socket.next();
  socket.send(4, '{"Width":80,"Height":24}');
  expect(await socket.next()).toEqual([1, 'resized {"Width":80,"Height":24}']);
  expect(world.asked).toMatchObject([{ kind: "attach", tty: true, stderr: false }]);
});

test("v4.base64.channel.k8s.io carries text", async () => {
  await using world = await podWorld();
  await using socket = world.socket(exec, ["v4.base64.channel.k8s.io"]);
  expect(await socket.next()).toEqual([0x31, ""]);
  socket.socket.send(`0${Buffer.from("hello").toString("base64")}`);
  expect(await socket.next()).toEqual([0x31, Buffer.from("hello").toString("base64")]);
});

test("a process ends with an error at the client when the link is lost", async () => {
  await using world = await podWorld();
  await using socket = world.socket(exec, ["v5.channel.k8s.io"]);
  await socket.next();
  world.cut();
  const message = await socket.next();
  const [channel, text] = typeof message === "string" ? [message, ""] : message;
  expect([channel, JSON.parse(text) as unknown]).toMatchObject([
    3,
    {
      status: "Failure",
      reason: "InternalError",
      message: expect.stringContaining("the link is lost") as string,
    },
  ]);
});

test("a client that leaves ends its process at the node", async () => {
  const ended = Promise.withResolvers<string | undefined>();
  await using world = await podWorld(async (stream) => {
    void stream.closed.then(({ reason }) => ended.resolve(reason));
    await stream.writable.getWriter().write(encodeBlock({ status: "Success" }));
  });
  const socket = world.socket(exec, ["v5.channel.k8s.io"]);
  await socket.next();
  await socket[Symbol.asyncDispose]();
  expect(await ended.promise).toBe("the caller has gone");
});

test("who is connected to a pod is logged without the command", async () => {
  await using world = await podWorld();
  const headers = { "impersonate-user": "jane", "impersonate-group": "system:masters" };
  await using socket = world.socket("one/exec?command=secret&stdout=1", ["v5.channel.k8s.io"], headers);
  await socket.next();
  const lines = world.server.log.lines
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .filter(({ msg }) => msg === "a user is connected to a pod");
  expect(lines).toEqual([
    expect.objectContaining({
      user: "jane",
      impersonatedBy: "kubernetes-admin",
      what: "exec",
      pod: "one",
      container: "a",
    }),
  ]);
  expect(JSON.stringify(lines)).not.toContain("secret");
});

test("a port is forwarded by v4.channel.k8s.io in a pair of channels", async () => {
  await using world = await podWorld();
  await using socket = world.socket("one/portforward?ports=8080", ["v4.channel.k8s.io"]);
  const port = Buffer.of(0x90, 0x1f).toString();
  expect([await socket.next(), await socket.next()]).toEqual([
    [0, port],
    [1, port],
  ]);
  socket.send(0, "GET /");
  expect(await socket.next()).toEqual([0, "GET /"]);
  expect(world.asked).toMatchObject([{ kind: "port-forward", port: 8080 }]);
});

test("the second channel has the reason when a port cannot be forwarded", async () => {
  await using world = await podWorld(refuseWith(refusePod.internal("connection refused")));
  await using socket = world.socket("one/portforward?ports=81", ["v4.channel.k8s.io"]);
  await socket.next();
  await socket.next();
  expect([await socket.next(), await socket.next()]).toEqual([
    [1, "Internal error occurred: connection refused"],
    "closed 1000",
  ]);
});
