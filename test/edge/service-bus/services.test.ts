import { expect, test } from "bun:test";
import { createServer } from "node:net";
import type { Pod } from "#shared/kube";
import { eventually } from "#internal/test/edge/edge-hub/hub-harness.ts";
import { serviceRule, startApp, startBus, type BusWorld, type CloudRequest } from "./bus-harness.ts";

const mebibyte = 1024 * 1024;

/** A body of so many pieces of 64 KiB. */
function bodyOf(pieces: number): ReadableStream<Uint8Array> {
  let sent = 0;
  return new ReadableStream<Uint8Array>(
    {
      pull: (controller) => {
        if (sent === pieces) controller.close();
        else controller.enqueue(new Uint8Array(64 * 1024).fill(7));
        sent += 1;
      },
    },
    { highWaterMark: 0 },
  );
}

/** Status and reason of an answer of the node. */
async function refusal(bus: BusWorld, request: CloudRequest): Promise<[number, unknown]> {
  const response = await bus.request(request);
  const body = (await response.json()) as { readonly reason: string };
  expect(response.headers.get("kubeedge-error")).toBe(body.reason);
  return [response.status, body.reason];
}

test("the cloud reaches a server on a port that a rule names, with method, headers and bytes of both bodies", async () => {
  await using bus = await startBus();
  using app = startApp(async (request) => {
    const { method, headers } = request;
    const seen = {
      method,
      url: new URL(request.url).pathname,
      a: headers.get("x-a"),
      host: headers.get("host"),
    };
    return new Response(await request.bytes(), {
      status: 201,
      headers: { "x-seen": JSON.stringify(seen), "set-cookie": "a=b", "x-b": "1" },
    });
  });
  for (const object of serviceRule(app.port)) await bus.deliver(object);
  const response = await bus.request({
    port: app.port,
    method: "PUT",
    path: "/a/b?c=d",
    headers: [
      ["x-a", "1"],
      ["host", "evil.example"],
      ["connection", "x-drop"],
      ["x-drop", "1"],
    ],
    body: new Response(new Uint8Array([0, 255])).body,
  });
  expect(response.status).toBe(201);
  expect(JSON.parse(response.headers.get("x-seen") ?? "")).toEqual({
    method: "PUT",
    url: "/a/b",
    a: "1",
    host: `127.0.0.1:${app.port}`,
  });
  expect([response.headers.get("set-cookie"), [...(await response.bytes())]]).toEqual(["a=b", [0, 255]]);
});

test("a port is called when a rule, a pod's hostPort or the configuration names it, and no longer afterwards", async () => {
  using app = startApp(() => new Response("ok"));
  const { port } = app;
  const denied = [403, "port-not-allowed"];
  await using bus = await startBus();
  expect(await refusal(bus, { port })).toEqual(denied as never);
  const [source, target, rule] = serviceRule(port);
  if (!source || !target || !rule) throw new Error("no rule");
  await bus.deliver(source);
  await bus.deliver(target);
  expect(await refusal(bus, { port })).toEqual(denied as never);
  await bus.deliver(rule);
  expect((await bus.request({ port })).status).toBe(200);
  await bus.deliver(rule, "delete");
  expect(await refusal(bus, { port })).toEqual(denied as never);
  const pod = (protocol: string, hostIP?: string): Pod => ({
    metadata: { name: "web", namespace: "default", uid: "p" },
    spec: {
      containers: [
        {
          name: "web",
          image: "i",
          ports: [{ containerPort: 80, hostPort: port, protocol, ...(hostIP && { hostIP }) }],
        },
      ],
    },
  });
  for (const other of [pod("UDP"), pod("TCP", "192.0.2.1")]) {
    await bus.changePod(other);
    expect(await refusal(bus, { port })).toEqual(denied as never);
  }
  await bus.changePod(pod("TCP"));
  expect((await bus.request({ port })).status).toBe(200);
  await bus.changePod(undefined, "web");
  expect(await refusal(bus, { port })).toEqual(denied as never);
  await using open = await startBus({ allowedPorts: [port] });
  expect((await open.request({ port })).status).toBe(200);
});

test("ports of edgecore itself and refused ports are never called, whatever names them", async () => {
  using app = startApp(() => new Response("ok"));
  const { port } = app;
  for (const config of [{ ownPorts: () => [port] }, { refusedPorts: [port] }]) {
    await using bus = await startBus({ ...config, allowedPorts: [port] });
    for (const object of serviceRule(port)) await bus.deliver(object);
    expect(await refusal(bus, { port })).toEqual([403, "port-not-allowed"]);
  }
});

test("a cloud that scans all ports learns the same of each, and connects to none", async () => {
  let connections = 0;
  const listener = createServer(() => void (connections += 1));
  await new Promise<void>((resolve) => void listener.listen(0, "127.0.0.1", resolve));
  const place = listener.address();
  const open = typeof place === "object" && place ? place.port : 0;
  await using bus = await startBus();
  const replies = await Promise.all(
    [...Array.from({ length: 2000 }, (_, index) => index + 1), open].map(async (port) => {
      const { status, body } = await bus.call({ port });
      return `${status} ${Buffer.from(body).toString().replace(/\d+/, "N")}`;
    }),
  );
  expect([new Set(replies).size, connections]).toEqual([1, 0]);
  listener.close();
});

test("a server that is not there, never answers or hangs up has its own status", async () => {
  using silent = startApp(() => new Promise<Response>(() => undefined));
  const rude = createServer((socket) => socket.once("data", () => socket.destroy()));
  await new Promise<void>((resolve) => void rude.listen(0, "127.0.0.1", resolve));
  const place = rude.address();
  const rudePort = typeof place === "object" && place ? place.port : 0;
  const gone = startApp(() => new Response(""));
  gone[Symbol.dispose]();
  await using bus = await startBus({ timeoutMs: 300, allowedPorts: [silent.port, gone.port, rudePort] });
  expect([
    await refusal(bus, { port: gone.port }),
    await refusal(bus, { port: silent.port }),
    await refusal(bus, { port: rudePort }),
  ]).toEqual([
    [502, "connection-refused"],
    [504, "timeout"],
    [502, "connection-failed"],
  ]);
  const reply = await bus.call({ port: silent.port });
  expect([reply.status, JSON.parse(Buffer.from(reply.body).toString()).reason]).toEqual([504, "timeout"]);
  rude.close();
});

test("a body of 64 MiB passes in both directions without being kept", async () => {
  using app = startApp((request) => new Response(request.body));
  await using bus = await startBus({ allowedPorts: [app.port], bodyLimitBytes: 64 * mebibyte });
  let sent = 0;
  const counted = new TransformStream<Uint8Array, Uint8Array>({
    transform: (chunk, controller) => {
      sent += chunk.length;
      controller.enqueue(new Uint8Array(chunk));
    },
  });
  const body = bodyOf(1024).pipeThrough(counted);
  const response = await bus.request({ port: app.port, method: "POST", body });
  let received = 0;
  let furthestAhead = 0;
  for await (const chunk of response.body ?? []) {
    received += chunk.length;
    furthestAhead = Math.max(furthestAhead, sent - received);
  }
  expect(received).toBe(64 * mebibyte);
  // What cloud, node and server hold between sender and reader; `bun run bench rules` measures the memory of processes.
  expect(furthestAhead / mebibyte).toBeLessThan(4);
});

test("a body that is too large is refused when its length is known, and cut when it is not", async () => {
  using app = startApp(async (request) => new Response(String((await request.bytes()).length)));
  await using bus = await startBus({ allowedPorts: [app.port], bodyLimitBytes: mebibyte });
  const length: [string, string] = ["content-length", String(2 * mebibyte)];
  const post = { port: app.port, method: "POST" };
  expect(await refusal(bus, { ...post, headers: [length], body: bodyOf(32) })).toEqual([
    413,
    "body-too-large",
  ]);
  expect(await refusal(bus, { ...post, body: bodyOf(32) })).toEqual([413, "body-too-large"]);
  const small = await bus.request({ ...post, body: bodyOf(16) });
  expect(await small.text()).toBe(String(mebibyte));
});

test("a server gets the length of a body that passes through when the cloud knows it, and chunks otherwise", async () => {
  using app = startApp(async ({ headers }) => {
    return new Response(`${headers.get("content-length")} ${headers.get("transfer-encoding")}`);
  });
  await using bus = await startBus({ allowedPorts: [app.port] });
  const answers = [];
  for (const headers of [[["content-length", "65536"]], []] as [string, string][][]) {
    const response = await bus.request({ port: app.port, method: "POST", headers, body: bodyOf(1) });
    answers.push(await response.text());
  }
  expect(answers).toEqual(["65536 null", "null chunked"]);
});

test("a body shorter or longer than its length fails, and leaks nothing into the next request", async () => {
  const seen: string[] = [];
  using app = startApp(async (request) => {
    seen.push(`${request.method} ${await request.text()}`);
    return new Response("ok");
  });
  await using bus = await startBus({ allowedPorts: [app.port], timeoutMs: 500 });
  const length: [string, string] = ["content-length", "4"];
  const smuggled = "abcdGET /admin HTTP/1.1\r\nHost: a\r\n\r\n";
  for (const text of [smuggled, "ab"]) {
    const body = new Response(text).body;
    const response = await bus.request({ port: app.port, method: "POST", headers: [length], body });
    expect([502, 504]).toContain(response.status);
  }
  expect(await (await bus.request({ port: app.port })).text()).toBe("ok");
  expect(seen.filter((line) => !line.startsWith("POST"))).toEqual(["GET "]);
});

test("an answer passes through as it comes, and ends at the server when the caller stops reading", async () => {
  const stopped = Promise.withResolvers<void>();
  using app = startApp((request) => {
    request.signal.addEventListener("abort", () => stopped.resolve());
    let count = 0;
    const body = new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          count += 1;
          if (count > 1) await stopped.promise;
          controller.enqueue(new TextEncoder().encode("data: 1\n\n"));
        },
        cancel: () => stopped.resolve(),
      },
      { highWaterMark: 0 },
    );
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  });
  await using bus = await startBus({ allowedPorts: [app.port], timeoutMs: 200 });
  const response = await bus.request({ port: app.port });
  const reader = response.body?.getReader();
  const first = await reader?.read();
  expect(new TextDecoder().decode(first?.value)).toBe("data: 1\n\n");
  await reader?.cancel();
  await stopped.promise;
});

test("an endless answer is held back by its reader, and refused where it has to fit into a message", async () => {
  let sent = 0;
  using app = startApp(() => {
    const piece = new Uint8Array(64 * 1024);
    const pull = (controller: ReadableStreamDefaultController<Uint8Array>): void => {
      sent += piece.length;
      controller.enqueue(piece);
    };
    return new Response(new ReadableStream<Uint8Array>({ pull }, { highWaterMark: 0 }));
  });
  await using bus = await startBus({ allowedPorts: [app.port] });
  const reply = await bus.call({ port: app.port });
  expect([reply.status, JSON.parse(Buffer.from(reply.body).toString()).reason]).toEqual([
    502,
    "response-too-large",
  ]);
  const response = await bus.request({ port: app.port });
  const reader = response.body?.getReader();
  await reader?.read();
  const after = sent;
  const other = await bus.call({ port: 1 });
  expect([other.status, sent - after < 32 * mebibyte]).toEqual([403, true]);
  await reader?.cancel();
});

test("10,000 requests at once are answered: those beyond the bound with 503", async () => {
  const release = Promise.withResolvers<void>();
  using app = startApp(async () => {
    await release.promise;
    return new Response("ok");
  });
  await using bus = await startBus({ allowedPorts: [app.port] });
  const all = Array.from({ length: 10_000 }, () => bus.call({ port: app.port }));
  const busy = await all.at(-1);
  release.resolve();
  const statuses = (await Promise.all(all)).map(({ status }) => status);
  expect([busy?.status, statuses.filter((status) => status === 200).length, new Set(statuses)]).toEqual([
    503,
    128,
    new Set([200, 503]),
  ]);
  expect((await bus.call({ port: app.port })).status).toBe(200);
});

test("a caller that aborts ends the request at the server", async () => {
  const [started, aborted] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  using app = startApp((request) => {
    request.signal.addEventListener("abort", () => aborted.resolve());
    started.resolve();
    return new Promise<Response>(() => undefined);
  });
  await using bus = await startBus({ allowedPorts: [app.port] });
  const caller = new AbortController();
  const response = bus.request({ port: app.port }, caller.signal).catch((error: unknown) => String(error));
  await started.promise;
  caller.abort();
  await aborted.promise;
  expect(await response).toContain("the request was aborted");
});

test("no stream stays open after its request, whatever became of that", async () => {
  using app = startApp(async (request) => {
    if (request.method === "POST") await request.bytes();
    return new Response(request.method === "GET" ? "x".repeat(100_000) : null, { status: 200 });
  });
  await using bus = await startBus({ allowedPorts: [app.port] });
  const post = { port: app.port, method: "POST" };
  const requests: CloudRequest[] = [
    { port: app.port },
    { port: app.port, method: "HEAD" },
    { port: app.port, method: "DELETE" },
    { ...post, body: bodyOf(8) },
    // Neither is read by a server: too large, refused, and for a method without a body.
    { ...post, body: bodyOf(64) },
    { ...post, port: 1, body: bodyOf(64) },
    { port: app.port, body: bodyOf(64) },
  ];
  const responses = await Promise.all(requests.map((request) => bus.request(request)));
  await Promise.all(responses.map((response) => response.bytes()));
  await eventually("the end of all streams", () => bus.openStreams().every((count) => count === 0));
  expect(responses.map(({ status }) => status)).toEqual([200, 200, 200, 200, 413, 403, 200]);
});

test("a compressed answer stays as the server sent it", async () => {
  const bytes = Bun.gzipSync(Buffer.from("hello ".repeat(100)));
  using app = startApp(() => new Response(bytes, { headers: { "content-encoding": "gzip" } }));
  await using bus = await startBus({ allowedPorts: [app.port] });
  const response = await bus.request({ port: app.port, headers: [["accept-encoding", "gzip"]] });
  expect(response.headers.get("content-encoding")).toBe("gzip");
  expect(Buffer.from(await response.bytes()).equals(bytes)).toBe(true);
});

test("a cut link ends the request at the server, and the call of the cloud with the reason", async () => {
  const [started, aborted] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  using app = startApp((request) => {
    request.signal.addEventListener("abort", () => aborted.resolve());
    started.resolve();
    return new Promise<Response>(() => undefined);
  });
  await using bus = await startBus({ allowedPorts: [app.port] });
  const response = bus.request({ port: app.port }).catch((error: unknown) => String(error));
  await started.promise;
  bus.cut();
  await aborted.promise;
  expect(await response).toContain("the link is lost");
});

test("a server that answers before it has the whole body may take longer than the timeout for the rest", async () => {
  const bodyRead = Promise.withResolvers<void>();
  const late = Promise.withResolvers<void>();
  using app = startApp((request) => {
    void request.bytes().then(() => bodyRead.resolve());
    const answer = new ReadableStream<Uint8Array>({
      start: async (controller) => {
        controller.enqueue(new TextEncoder().encode("first "));
        await late.promise;
        controller.enqueue(new TextEncoder().encode("last"));
        controller.close();
      },
    });
    return new Response(answer);
  });
  await using bus = await startBus({ allowedPorts: [app.port], timeoutMs: 200 });
  let send: ReadableStreamDefaultController<Uint8Array> | undefined;
  const body = new ReadableStream<Uint8Array>({ start: (controller) => void (send = controller) });
  send?.enqueue(new Uint8Array(1));
  const response = await bus.request({ port: app.port, method: "POST", body });
  send?.enqueue(new Uint8Array(1));
  send?.close();
  await bodyRead.promise;
  // Longer than the timeout, which must have no effect any more.
  setTimeout(late.resolve, 500);
  expect(await response.text()).toBe("first last");
});
