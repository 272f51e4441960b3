import { expect, test } from "bun:test";
import { CloudFigures } from "#cloud/usage";
import { Bus } from "#shared/bus";
import type { CloudCatalog } from "#shared/topics";
import { readExposition, type ReadSample } from "#internal/test/support/exposition.ts";
import { startTestServer, type TestServer } from "#internal/test/support/cloud/api-server.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

async function readMetrics(server: TestServer): Promise<readonly ReadSample[]> {
  return readExposition(await (await server.stream("/metrics")).text());
}

const requestsIn = (samples: readonly ReadSample[]): readonly ReadSample["labels"][] =>
  samples.filter(({ name }) => name === "apiserver_request_total").map(({ labels }) => labels);

test("requests are counted by verb, resource and code", async () => {
  using dir = tempDir();
  await using server = await startTestServer(dir.path, { figures: new CloudFigures(new FakeClock()) });
  await server.call("GET", "/api/v1/namespaces/default/pods/none");
  await server.call("GET", "/api/v1/nodes");
  const core = { group: "", version: "v1", subresource: "" };
  const samples = await readMetrics(server);
  expect(requestsIn(samples)).toEqual([
    { ...core, verb: "GET", resource: "pods", code: "404" },
    { ...core, verb: "LIST", resource: "nodes", code: "200" },
  ]);
  const counts = samples.filter(({ name }) => name === "apiserver_request_duration_seconds_count");
  expect(counts.map(({ value }) => value)).toEqual([1, 1]);
});

test("names that are not served do not become labels", async () => {
  using dir = tempDir();
  await using server = await startTestServer(dir.path, { figures: new CloudFigures(new FakeClock()) });
  for (const path of ["/apis/a.example/v1/b", '/apis/x"y/v1/c', "/nothing"]) await server.call("GET", path);
  const none = { group: "", version: "", resource: "", subresource: "" };
  expect(requestsIn(await readMetrics(server))).toEqual([{ ...none, verb: "GET", code: "404" }]);
});

test("metrics need a right", async () => {
  using dir = tempDir();
  await using server = await startTestServer(dir.path, { figures: new CloudFigures(new FakeClock()) });
  const as = (group: string): Record<string, string> => ({
    "Impersonate-User": "eva",
    "Impersonate-Group": group,
  });
  expect((await server.call("GET", "/metrics", undefined, as("others"))).status).toBe(403);
});

test("connected nodes and sessions are counted", async () => {
  const figures = new CloudFigures(new FakeClock());
  using bus = new Bus<CloudCatalog>({ onFailure: () => undefined, onMessage: figures.countMessage });
  using _follow = figures.follow(bus.port("figures"));
  const hub = bus.port<"node.connected" | "node.disconnected">("hub");
  await hub.emit("node.connected", { node: "a" });
  await hub.emit("node.connected", { node: "b" });
  await hub.emit("node.disconnected", { node: "a", reason: "test" });
  const shown = Object.fromEntries(readExposition(figures.text()).map(({ name, value }) => [name, value]));
  expect([shown["kubeedge_connected_nodes"], shown["kubeedge_node_sessions_total"]]).toEqual([1, 2]);
});
