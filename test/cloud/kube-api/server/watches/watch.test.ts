import { expect, test } from "bun:test";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { startTestServer, textAt, type TestServer } from "#internal/test/support/cloud/api-server.ts";

interface WatchEvent {
  readonly type: string;
  readonly object: {
    readonly kind?: string;
    readonly code?: number;
    readonly reason?: string;
    readonly metadata: {
      readonly name?: string;
      readonly resourceVersion?: string;
      readonly annotations?: object;
    };
  };
}

const maps = "/api/v1/namespaces/default/configmaps";
const configMap = (name: string, labels: object = {}, data: object = {}) => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name, labels },
  data,
});

/** The first `count` events of a watch, or all until it ends. */
async function events(server: TestServer, query: string, count = Infinity): Promise<WatchEvent[]> {
  const abort = new AbortController();
  const response = await server.stream(`${maps}?watch=1&${query}`, abort.signal);
  const found: WatchEvent[] = [];
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of response.body ?? []) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    found.push(...lines.filter((line) => line !== "").map((line) => JSON.parse(line) as WatchEvent));
    if (found.length >= count) break;
  }
  abort.abort();
  return found;
}

const shown = (found: readonly WatchEvent[]): string[] =>
  found.map(({ type, object }) => `${type} ${object.metadata.name ?? ""}`);

test("watch from a revision sends later changes, also after a restart", async () => {
  using dir = tempDir("watch");
  let revision = "";
  {
    await using server = await startTestServer(dir.path);
    revision = textAt((await server.call("POST", maps, configMap("a"))).body, "metadata", "resourceVersion");
    await server.call("POST", maps, configMap("b"));
  }
  await using server = await startTestServer(dir.path);
  await server.call("DELETE", `${maps}/a`);
  expect(shown(await events(server, `resourceVersion=${revision}`, 2))).toEqual(["ADDED b", "DELETED a"]);
});

test("watch sends its headers at once when nothing changes", async () => {
  using dir = tempDir("watch");
  await using server = await startTestServer(dir.path);
  const abort = new AbortController();
  const response = await server.stream(`${maps}?watch=1&resourceVersion=1`, abort.signal);
  expect(response.status).toBe(200);
  abort.abort();
});

test("watch with a selector sends ADDED and DELETED for objects that begin and cease to match", async () => {
  using dir = tempDir("watch");
  await using server = await startTestServer(dir.path);
  const found = events(server, "labelSelector=on%3Dyes&resourceVersion=1", 3);
  await server.call("POST", maps, configMap("x"));
  await server.call("PUT", `${maps}/x`, configMap("x", { on: "yes" }));
  await server.call("PUT", `${maps}/x`, configMap("x", { on: "yes" }, { more: "1" }));
  await server.call("PUT", `${maps}/x`, configMap("x", { on: "no" }));
  expect(shown(await found)).toEqual(["ADDED x", "MODIFIED x", "DELETED x"]);
});

test("watch past the history answers 410 Expired", async () => {
  using dir = tempDir("watch");
  await using server = await startTestServer(dir.path, { historyRevisions: 2 });
  for (let number = 0; number < 6; number += 1) {
    await server.call("PUT", `${maps}/a`, configMap("a", {}, { n: String(number) }));
    if (number === 0) await server.call("POST", maps, configMap("a"));
  }
  await server.api.compact();
  expect(await events(server, "resourceVersion=2")).toMatchObject([
    { type: "ERROR", object: { code: 410, reason: "Expired" } },
  ]);
});

test("watch ends at its timeout, with a bookmark if requested", async () => {
  using dir = tempDir("watch");
  await using server = await startTestServer(dir.path);
  const { body } = await server.call("POST", maps, configMap("a"));
  const found = await events(server, "allowWatchBookmarks=true&timeoutSeconds=1");
  const { resourceVersion } = body["metadata"] ?? {};
  expect(found).toMatchObject([
    { type: "ADDED" },
    { type: "BOOKMARK", object: { kind: "ConfigMap", metadata: { resourceVersion } } },
  ]);
});

test("watch marks the end of the initial objects if requested", async () => {
  using dir = tempDir("watch");
  await using server = await startTestServer(dir.path);
  await server.call("POST", maps, configMap("a"));
  const query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
  const found = await events(server, query, 2);
  expect(found[1]).toMatchObject({
    type: "BOOKMARK",
    object: { metadata: { annotations: { "k8s.io/initial-events-end": "true" } } },
  });
});

test("a watcher that stalls gets every change when it reads again", async () => {
  using dir = tempDir("watch");
  await using server = await startTestServer(dir.path);
  const response = await server.stream(`${maps}?watch=1&resourceVersion=1`);
  const reader = (response.body ?? new ReadableStream()).getReader();
  const filler = "x".repeat(200_000);
  await Promise.all(
    Array.from({ length: 100 }, (_, number) =>
      server.call("POST", maps, configMap(`big-${number}`, {}, { filler })),
    ),
  );
  const names = new Set<string>();
  const decoder = new TextDecoder();
  let line: string[] = [];
  while (names.size < 100) {
    const { value, done } = await reader.read();
    if (done) break;
    const [first = "", ...rest] = decoder.decode(value as Uint8Array, { stream: true }).split("\n");
    line.push(first);
    for (const next of rest) {
      const whole = line.join("");
      if (whole !== "") names.add((JSON.parse(whole) as WatchEvent).object.metadata.name ?? "");
      line = [next];
    }
  }
  await reader.cancel();
  expect(names.size).toBe(100);
});
