import { afterAll, beforeAll, expect, test } from "bun:test";
import * as fc from "fast-check";
import { RequestLimits } from "#internal/cloud/router/entry/limits.ts";
import { startRouterHarness, until, type RouterHarness } from "./router-harness.ts";
import { adminToken } from "#internal/test/support/cloud/api-server.ts";

let harness: RouterHarness;
const auth = `Authorization: Bearer ${adminToken}\r\n`;
/** The attacks that reached the node, each by the value of its header; requests of other tests may still arrive. */
const seen: { readonly url: string; readonly attack: string | null }[] = [];

beforeAll(async () => {
  harness = await startRouterHarness();
  await harness.addNode("edge-1");
  await harness.put("Rule", "only", {
    source: "rest",
    sourceResource: { path: "/only/{x}" },
    target: "app",
    targetResource: { path: "/only/{x}/here" },
  });
  await harness.connect("edge-1");
  harness.serve = async (request) => {
    seen.push({ url: request.url, attack: request.headers.get("x-attack") });
    await request.arrayBuffer();
    return new Response("ok");
  };
  await until(
    () => harness.request("/edge-1/default/only/a"),
    ({ status }) => status === 200,
  );
});
afterAll(() => harness[Symbol.asyncDispose]());

const post = (headers: string, body: string, target = "/edge-1/default/only/a"): string =>
  `POST ${target} HTTP/1.1\r\nHost: a\r\n${auth}${headers}\r\n${body}`;

test.each([
  ["two lengths", post("Content-Length: 5\r\nContent-Length: 6\r\n", "hello!")],
  ["a length and chunks", post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")],
  ["an unknown transfer encoding", post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n")],
  ["a length that is negative", post("Content-Length: -1\r\n", "")],
  ["a length with a sign", post("Content-Length: +5\r\n", "hello")],
  ["a folded header", post("X: a\r\n b\r\n", "")],
  ["two names of the host", post("Host: b\r\nContent-Length: 0\r\n", "")],
  ["two tokens", post(`${auth}Content-Length: 0\r\n`, "")],
  ["two transfer encodings", post("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n")],
  ["a transfer encoding twice", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n", "0\r\n\r\n")],
  ["a hidden transfer encoding", post("Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n")],
  ["lengths in a list", post("Content-Length: 5, 5\r\n", "hello")],
  ["a length in hexadecimal", post("Content-Length: 0x5\r\n", "hello")],
  ["a carriage return alone", post("X: a\rY: b\r\nContent-Length: 0\r\n", "")],
  ["a header without a name", post(": a\r\nContent-Length: 0\r\n", "")],
  ["a header without a colon", post("Content-Length\r\n", "")],
  ["a slash in escapes", post("Content-Length: 0\r\n", "", "/edge-1/default/only/..%2f..%2fx")],
  ["a space before the colon", post("Content-Length : 5\r\n", "hello")],
  ["a NUL in a header", post("X: a\0b\r\n", "")],
  ["a path that climbs", post("Content-Length: 0\r\n", "", "/edge-1/default/only/../../x")],
  ["a path that climbs in escapes", post("Content-Length: 0\r\n", "", "/edge-1/default/only/%2e%2e/x")],
  ["a whole URL", post("Content-Length: 0\r\n", "", "http://127.0.0.1:1/edge-1/default/only/a")],
  ["an asterisk", post("Content-Length: 0\r\n", "", "*")],
  ["a line break in the path", post("Content-Length: 0\r\n", "", "/edge-1/default/only/a%0d%0ab")],
])("a request with %s is refused and reaches no node", async (what, text) => {
  const marked = text.replace("Host: a\r\n", `Host: a\r\nX-Attack: ${what}\r\n`);
  const answer = await harness.raw(marked, { waitMs: 400 });
  const arrived = seen.filter(({ attack }) => attack === what);
  expect([answer === "" || /^HTTP\/1\.1 4\d\d /.test(answer) || answer, arrived]).toEqual([true, []]);
});

test("a chunk of a wrong length ends the connection", async () => {
  const answer = await harness.raw(post("Transfer-Encoding: chunked\r\n", "5\r\nhello world\r\n0\r\n\r\n"));
  expect(answer).not.toContain("200 OK");
});

test("a request behind another on the same connection needs a token of its own", async () => {
  const second = "GET /edge-1/default/only/stolen HTTP/1.1\r\nHost: a\r\n\r\n";
  const answer = await harness.raw(post("Content-Length: 2\r\n", `hi${second}`));
  expect(answer.match(/HTTP\/1\.1 \d+/g)).toEqual(["HTTP/1.1 200", "HTTP/1.1 401"]);
});

test("no path reaches another place of the server on the node than its rule says", async () => {
  const part = fc.oneof(
    fc.constantFrom(
      "..",
      ".",
      "%2e%2e",
      "%2E.",
      "",
      "%2f",
      "%5c",
      "\\",
      "%00",
      ";",
      "a",
      "%25%32%65",
      "%u002e",
      "#",
      "?",
    ),
    fc.string({ maxLength: 6 }).map((text) => text.replaceAll(/[\r\n \t]/g, "")),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(part, { minLength: 1, maxLength: 5 }), async (parts) => {
      seen.length = 0;
      const bytes = Buffer.from(parts.join("/"), "utf8").toString("latin1");
      const answer = await harness.raw(
        `GET /edge-1/default/only/${bytes} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${auth}\r\n`,
        { waitMs: 2000 },
      );
      expect(answer).not.toMatch(/^HTTP\/1\.1 50/);
      for (const { url } of seen) expect(new URL(url).pathname).toMatch(/^\/only\/[^/]+\/here(\/|$)/);
    }),
    { numRuns: 150 },
  );
}, 60_000);

test("a node that sends wrong heads and lengths breaks its own response alone", async () => {
  const answers: unknown[] = [];
  const replies: (() => Response)[] = [
    () => new Response("too long", { headers: { "content-length": "3" } }),
    () => new Response("short", { headers: { "content-length": "30" } }),
  ];
  for (const reply of replies) {
    harness.serve = async () => reply();
    const text = `GET /edge-1/default/only/a HTTP/1.1\r\nHost: a\r\n${auth}\r\n`;
    const raw = await harness.raw(text + text, { waitMs: 500 });
    answers.push((raw.match(/HTTP\/1\.1/g) ?? []).length);
  }
  harness.serve = async () => new Response("fine");
  const after = await (await harness.request("/edge-1/default/only/a")).text();
  expect([answers, after]).toEqual([[1, 1], "fine"]);
});

/** 200 at once: this process makes no more than 256 requests at a time, and would wait for itself. */
test("tokens that are guessed do not keep others from being served", async () => {
  const guesses = Array.from({ length: 200 }, (_, index) =>
    harness.request("/edge-1/default/only/a", { token: `guess-${index}` }).then(({ status }) => status),
  );
  const started = performance.now();
  const { status } = await harness.request("/edge-1/default/only/a");
  const waitedMs = performance.now() - started;
  const statuses = new Set(await Promise.all(guesses));
  expect([status, waitedMs < 10_000, [...statuses].filter((one) => one !== 401 && one !== 503)]).toEqual([
    200,
    true,
    [],
  ]);
}, 30_000);

test("a client that reads nothing holds up no other", async () => {
  const chunk = new Uint8Array(256 * 1024);
  harness.serve = async (request) =>
    request.url.endsWith("/flood/here")
      ? new Response(
          new ReadableStream<Uint8Array>({ pull: (controller) => controller.enqueue(new Uint8Array(chunk)) }),
        )
      : new Response("ok");
  const client = new AbortController();
  const flood = await Promise.all(
    Array.from({ length: 8 }, () => harness.request("/edge-1/default/only/flood", { signal: client.signal })),
  );
  const { status } = await harness.request("/edge-1/default/only/b");
  client.abort();
  expect([flood.map((one) => one.status), status]).toEqual([Array.from({ length: 8 }, () => 200), 200]);
});

test("one user has a bounded number of requests under way, and leaves room for others", () => {
  const limits = new RequestLimits();
  const places = Array.from({ length: 300 }, () => limits.enter("one"));
  expect([places.filter((place) => place !== undefined).length, limits.enter("other") !== undefined]).toEqual(
    [256, true],
  );
  places[0]?.[Symbol.dispose]();
  expect(limits.enter("one")).toBeDefined();
});

test("one user leaves places on a node to others, and places on other nodes to all", () => {
  const limits = new RequestLimits();
  const take = (user: string, node: string): number =>
    Array.from({ length: 300 }, () => limits.enterNode(user, node)).filter((place) => place !== undefined)
      .length;
  expect([take("one", "a"), take("two", "a"), take("three", "a"), take("one", "b")]).toEqual([
    64, 32, 16, 64,
  ]);
});

test("1,000 readers of events that say nothing leave a node usable for another user", async () => {
  await harness.api.call("POST", "/api/v1/namespaces/default/serviceaccounts", {
    metadata: { name: "other" },
  });
  await harness.api.call("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", {
    metadata: { name: "other" },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "cluster-admin" },
    subjects: [{ kind: "ServiceAccount", name: "other", namespace: "default" }],
  });
  const token = await harness.api.call("POST", "/api/v1/namespaces/default/serviceaccounts/other/token", {
    spec: {},
  });
  const other = (token.body as unknown as { status: { token: string } }).status.token;
  harness.serve = async (request) =>
    request.url.endsWith("/silent/here")
      ? new Response(new ReadableStream(), { headers: { "content-type": "text/event-stream" } })
      : new Response("ok");
  const client = new AbortController();
  const { signal } = client;
  const readers = await Promise.all(
    Array.from({ length: 1000 }, async () => {
      try {
        const response = await harness.request("/edge-1/default/only/silent", { signal });
        if (response.status !== 200) await response.text();
        return response;
      } catch {
        return undefined;
      }
    }),
  );
  const { status } = await harness.request("/edge-1/default/only/b", { token: other });
  const open = readers.filter((one) => one?.status === 200);
  client.abort();
  expect([open.length, status]).toEqual([64, 200]);
  await until(
    () => harness.request("/edge-1/default/only/b"),
    (answer) => answer.status === 200,
  );
}, 60_000);

test("a rule for a thousand nodes that are offline queues a message for each, once", async () => {
  await Promise.all(
    Array.from({ length: 1000 }, (_, index) => harness.addNode(`many-${index}`, { many: "yes" })),
  );
  await harness.put("Rule", "many", {
    source: "rest",
    sourceResource: { path: "/many" },
    target: "bus",
    targetResource: { topic: "t", node_selector: "many=yes", delivery: "durable" },
  });
  const send = () =>
    harness.request("/-/default/many", {
      method: "POST",
      body: "x",
      headers: { "x-kubeedge-message-id": "same" },
    });
  await until(
    () => harness.request("/-/default/many?dryRun=All"),
    ({ status }) => status === 200,
  );
  const started = performance.now();
  const first = await send();
  const spentMs = performance.now() - started;
  const body = (await first.json()) as { nodeCount: number; nodes: unknown[] };
  expect([first.status, body.nodeCount, body.nodes.length, spentMs < 2000]).toEqual([202, 1000, 100, true]);
  expect((await send()).status).toBe(202);
  await until(
    () => harness.status("many"),
    ({ queuedMessages }) => queuedMessages === 1000,
  );
}, 60_000);
