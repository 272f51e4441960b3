import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { createKubeClient, isKubeError, resources, type KubeClient } from "#cloud/kube-client";
import { systemClock } from "#shared/clock";
import { recordOf } from "#shared/json";
import type { ConfigMap } from "#shared/kube";
import { ownToken, startTestServer, type TestServer } from "#internal/test/support/cloud/api-server.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const maps = "/api/v1/namespaces/default/configmaps";

function connect({ api }: TestServer, token = ownToken): Promise<KubeClient> {
  const answer = (request: Request): Promise<Response> => api.answer(request);
  const inline = { from: "inline", server: "http://localhost", answer, token } as const;
  return createKubeClient(inline, { clock: systemClock, log: silentLog() });
}

function configMap(name: string, text = ""): ConfigMap {
  return { apiVersion: "v1", kind: "ConfigMap", metadata: { name, namespace: "default" }, data: { text } };
}

test("client in the process of the server reports each change in order and opens no connection", async () => {
  using dir = tempDir();
  await using server = await startTestServer(dir.path);
  await using kube = await connect(server);
  const before = openFiles();
  const labelled = (name: string, text: string): ConfigMap => {
    const { metadata, ...object } = configMap(name, text);
    return { ...object, metadata: { ...metadata, labels: { test: "" } } };
  };
  await using informer = kube.informer<ConfigMap>(resources.configMaps, { labelSelector: "test" });
  const events: string[] = [];
  const removed = Promise.withResolvers<void>();
  informer.watch({
    added: ({ metadata, data }) => events.push(`+${metadata.name} ${data?.["text"]}`),
    updated: ({ metadata, data }) => events.push(`~${metadata.name} ${data?.["text"]}`),
    removed: ({ metadata }) => {
      events.push(`-${metadata.name}`);
      removed.resolve();
    },
  });
  // The first list and these cross.
  await Promise.all(["a", "b", "c"].map((name) => kube.create(resources.configMaps, labelled(name, "1"))));
  await informer.synced;
  for (let text = 2; text <= 30; text += 1)
    await kube.replace(resources.configMaps, labelled("b", String(text)));
  await kube.remove(resources.configMaps, { name: "b", namespace: "default" });
  await removed.promise;
  const texts = Array.from({ length: 29 }, (_, index) => `~b ${index + 2}`);
  expect(events.toSorted().slice(0, 3)).toEqual(["+a 1", "+b 1", "+c 1"]);
  expect(events.slice(3)).toEqual([...texts, "-b"]);
  expect(openFiles()).toBeLessThanOrEqual(before);
});

test("informer keeps objects without managedFields, which the API keeps", async () => {
  using dir = tempDir();
  await using server = await startTestServer(dir.path);
  await using kube = await connect(server);
  const type = { "content-type": "application/apply-patch+yaml" };
  await server.call("PATCH", `${maps}/a?fieldManager=test`, configMap("a", "1"), type);
  const made = await kube.get<ConfigMap>(resources.configMaps, { name: "a", namespace: "default" });
  await using informer = kube.informer<ConfigMap>(resources.configMaps, { namespace: "default" });
  await informer.synced;
  const kept = informer.get("default/a");
  const { managedFields, ...metadata } = recordOf(made.metadata);
  expect(managedFields).toMatchObject([{ manager: "test" }]);
  expect(recordOf(kept?.metadata)).toEqual(metadata);
  const again = await kube.replace(resources.configMaps, { ...made, metadata: { ...kept?.metadata } });
  expect(recordOf(again.metadata)["managedFields"]).toMatchObject([{ manager: "test", operation: "Apply" }]);
});

test("client in the process of the server is answered while it follows hundreds of collections", async () => {
  using dir = tempDir();
  await using server = await startTestServer(dir.path);
  await using kube = await connect(server);
  // Bun sends 256 requests of a process at a time.
  const informers = Array.from({ length: 200 }, (_, at) =>
    kube.informer<ConfigMap>(resources.configMaps, { labelSelector: `at=${at}` }),
  );
  await Promise.all(informers.map(({ synced }) => synced));
  await kube.create(resources.configMaps, configMap("a"));
  expect(await kube.find(resources.configMaps, { name: "a", namespace: "default" })).toBeDefined();
});

test("watch that its reader in the process does not read loses nothing and holds up nobody", async () => {
  using dir = tempDir();
  await using server = await startTestServer(dir.path, { streams: { limitBytes: 200_000, stallMs: 200 } });
  const headers = { authorization: `Bearer ${ownToken}` };
  const { signal, abort } = cancellation();
  const watch = await server.api.answer(
    new Request(`http://localhost${maps}?watch=true&labelSelector=test`, { headers, signal }),
  );
  const text = "x".repeat(50_000);
  for (let at = 0; at < 20; at += 1) {
    const metadata = { name: `m${at}`, labels: { test: "" } };
    const { status } = await server.call("POST", maps, { metadata, data: { text } });
    expect(status).toBe(201);
  }
  // As long as the connection of another reader would be closed after.
  await Bun.sleep(1000);
  const names: string[] = [];
  for await (const lines of linesOf(watch)) {
    for (const line of lines) names.push((JSON.parse(line) as NamedEvent).object.metadata.name);
    if (names.length === 20) break;
  }
  abort();
  expect(names).toEqual(Array.from({ length: 20 }, (_, at) => `m${at}`));
});

test("others are answered while a client in the process makes one request after the other", async () => {
  using dir = tempDir();
  await using server = await startTestServer(dir.path);
  await using kube = await connect(server);
  const other = { isAnswered: false };
  const answered = server.call("GET", maps).then(() => (other.isAnswered = true));
  let requests = 0;
  for (; !other.isAnswered && requests < 20_000; requests += 1)
    await kube.find(resources.namespaces, { name: "default" });
  expect(requests).toBeLessThan(20_000);
  await answered;
});

test("client in the process of the server needs a token as any other", async () => {
  using dir = tempDir();
  await using server = await startTestServer(dir.path);
  await using kube = await connect(server, "wrong");
  const refused = await kube.list(resources.pods).catch((error: unknown) => error);
  expect(isKubeError(refused, 401)).toBe(true);
});

test("request in the process ends when its caller cancels it", async () => {
  using dir = tempDir();
  await using server = await startTestServer(dir.path);
  await using kube = await connect(server);
  const { signal, abort } = cancellation();
  const asked = kube.find(resources.namespaces, { name: "default" }, { signal });
  abort();
  expect(await asked.catch((error: Error) => error.message)).toBe("cancelled");
});

interface NamedEvent {
  readonly object: { readonly metadata: { readonly name: string } };
}

async function* linesOf({ body }: Response): AsyncGenerator<string[]> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of body ?? []) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    yield lines.filter((line) => line !== "");
  }
}

function cancellation(): { readonly signal: AbortSignal; readonly abort: () => void } {
  const controller = new AbortController();
  return { signal: controller.signal, abort: () => controller.abort(new Error("cancelled")) };
}

function openFiles(): number {
  return readdirSync("/proc/self/fd").length;
}
