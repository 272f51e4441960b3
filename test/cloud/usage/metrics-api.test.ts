import { describe, expect, test } from "bun:test";
import { addNode, addPod, usageWorld } from "./usage-world.ts";

const pair = [250_000_000, 64 * 1024 * 1024];
const report = (pods: Record<string, Record<string, unknown>> = {}): object => ({
  windowMs: 15_000,
  node: pair,
  pods,
});
const when = "2026-01-01T00:00:00Z";
const usage = { cpu: "250000000n", memory: "65536Ki" };

/** Names in a list. */
function names(body: unknown): unknown {
  const { items } = body as { readonly items: readonly { readonly metadata: { readonly name: string } }[] };
  return items.map(({ metadata }) => metadata.name);
}

describe("nodes", () => {
  test("a node is shown with what it reports", async () => {
    await using at = await usageWorld();
    await addNode(at, "edge-1", report());
    const { status, body } = await at.get("nodes/edge-1");
    expect([status, body as unknown]).toEqual([
      200,
      {
        apiVersion: "metrics.k8s.io/v1beta1",
        kind: "NodeMetrics",
        metadata: { name: "edge-1", creationTimestamp: when, labels: { site: "edge-1" } },
        timestamp: when,
        window: "15s",
        usage,
      },
    ]);
  });

  test("a list has the nodes that report, by selector", async () => {
    await using at = await usageWorld();
    await addNode(at, "edge-1", report());
    await addNode(at, "edge-2", report());
    await addNode(at, "away", report());
    at.nodes.delete("away");
    expect(names((await at.get("nodes")).body)).toEqual(["edge-1", "edge-2"]);
    expect(names((await at.get("nodes?labelSelector=site%3Dedge-2")).body)).toEqual(["edge-2"]);
  });

  test("a node that is not connected, or does not exist, is not found", async () => {
    await using at = await usageWorld();
    await addNode(at, "away", report());
    at.nodes.delete("away");
    for (const name of ["away", "none"]) {
      const { body } = await at.get(`nodes/${name}`);
      expect({ code: body["code"], reason: body["reason"], message: body["message"] } as unknown).toEqual({
        code: 404,
        reason: "NotFound",
        message: `nodemetrics.metrics.k8s.io "${name}" not found`,
      });
    }
  });

  test("a node is not shown when its last report is older than three periods", async () => {
    await using at = await usageWorld();
    await addNode(at, "edge-1", report());
    await at.get("nodes/edge-1");
    await at.clock.advance(46_000);
    expect((await at.get("nodes/edge-1")).status).toBe(404);
  });

  test("a node is not waited for longer than four seconds", async () => {
    await using at = await usageWorld();
    const node = await addNode(at, "edge-1", undefined);
    const answer = at.get("nodes/edge-1");
    await node.untilAsked(1);
    await at.clock.advance(4000);
    expect((await answer).status).toBe(404);
  });

  test("a node is not asked any more when nobody has asked for five minutes", async () => {
    await using at = await usageWorld();
    const node = await addNode(at, "edge-1", report());
    await at.get("nodes/edge-1");
    await at.get("nodes/edge-1");
    expect(node.asked).toBe(1);
    await at.clock.advance(330_000);
    expect(node.ended).toBe("nobody asks any more");
  });

  test("a node is asked again when its link was lost", async () => {
    await using at = await usageWorld();
    const node = await addNode(at, "edge-1", report());
    await at.get("nodes/edge-1");
    node.cut();
    await at.clock.advance(60_000);
    expect((await at.get("nodes/edge-1")).status).toBe(200);
    expect(node.asked).toBe(2);
  });
});

describe("pods", () => {
  test("a pod is shown with the containers of its specification", async () => {
    await using at = await usageWorld();
    const node = await addNode(at, "edge-1", undefined);
    const uid = await addPod(at, "one", "edge-1", ["a", "b"]);
    node.first = report({ [uid]: { a: pair, b: [0, 1024], invented: pair } });
    const { body } = await at.get("namespaces/default/pods/one");
    expect(body as unknown).toEqual({
      apiVersion: "metrics.k8s.io/v1beta1",
      kind: "PodMetrics",
      metadata: { name: "one", namespace: "default", creationTimestamp: when, labels: { app: "one" } },
      timestamp: when,
      window: "15s",
      containers: [
        { name: "a", usage },
        { name: "b", usage: { cpu: "0", memory: "1Ki" } },
      ],
    });
  });

  test("lists are of a namespace or of all, by labels and fields", async () => {
    await using at = await usageWorld();
    const node = await addNode(at, "edge-1", undefined);
    const [one, two] = [await addPod(at, "one", "edge-1"), await addPod(at, "two", "edge-1")];
    await addPod(at, "unknown", "edge-1");
    node.first = report({ [one]: { web: pair }, [two]: { web: pair } });
    expect(names((await at.get("pods")).body)).toEqual(["one", "two"]);
    expect(names((await at.get("namespaces/default/pods")).body)).toEqual(["one", "two"]);
    expect(names((await at.get("namespaces/other/pods")).body)).toEqual([]);
    expect(names((await at.get("pods?labelSelector=app%3Dtwo")).body)).toEqual(["two"]);
    expect(names((await at.get("pods?fieldSelector=metadata.name%3Done")).body)).toEqual(["one"]);
  });

  test("a selector that cannot be read is refused", async () => {
    await using at = await usageWorld();
    expect((await at.get("pods?labelSelector=a%3D%3D%3D")).status).toBe(400);
  });

  test("a pod without usage is not found", async () => {
    await using at = await usageWorld();
    await addNode(at, "edge-1", report());
    await addPod(at, "one", "edge-1");
    expect((await at.get("namespaces/default/pods/one")).body["message"] as unknown).toBe(
      'podmetrics.metrics.k8s.io "default/one" not found',
    );
  });
});

describe("nodes that lie", () => {
  test("a node says nothing of pods of other nodes", async () => {
    await using at = await usageWorld();
    const liar = await addNode(at, "liar", undefined);
    await addNode(at, "edge-1", report());
    const uid = await addPod(at, "one", "edge-1");
    liar.first = report({ [uid]: { web: pair }, __proto__: { web: pair } });
    await addPod(at, "own", "liar");
    expect(names((await at.get("pods")).body)).toEqual([]);
  });

  test.each([
    ["negative memory", { windowMs: 1, node: [1, -1], pods: {} }],
    ["no report", "text"],
    ["a window of no length", { windowMs: 0, node: pair, pods: {} }],
  ])("%s ends the stream with a warning, and is not shown", async (_what, wrong) => {
    await using at = await usageWorld();
    const liar = await addNode(at, "liar", wrong);
    expect((await at.get("nodes/liar")).status).toBe(404);
    expect(liar.ended).toStartWith("wrong report of usage: ");
    expect(at.log.lines.filter((line) => line.includes("a node reports its usage wrongly"))).toHaveLength(1);
  });

  test("a node that reports without end is stopped", async () => {
    await using at = await usageWorld();
    const node = await addNode(at, "edge-1", report());
    await at.get("nodes/edge-1");
    node.send(report());
    node.send(report());
    await at.clock.advance(0);
    expect(node.ended).toBe("reports come too often: expected one each 15 s");
  });
});

describe("the API group", () => {
  test("it is in discovery with get and list", async () => {
    await using at = await usageWorld();
    const { body } = await at.server.call("GET", "/apis/metrics.k8s.io/v1beta1");
    expect(body["resources"] as unknown).toEqual([
      {
        name: "nodes",
        singularName: "nodemetrics",
        namespaced: false,
        kind: "NodeMetrics",
        verbs: ["get", "list"],
      },
      {
        name: "pods",
        singularName: "podmetrics",
        namespaced: true,
        kind: "PodMetrics",
        verbs: ["get", "list"],
      },
    ]);
  });

  test("other verbs are refused", async () => {
    await using at = await usageWorld();
    const path = "/apis/metrics.k8s.io/v1beta1/nodes";
    expect((await at.server.call("POST", path, {})).status).toBe(405);
    expect((await at.get("nodes?watch=true")).status).toBe(405);
  });

  test("a user without rights is refused, and one who may view is not", async () => {
    await using at = await usageWorld();
    const as = { "Impersonate-User": "eva" };
    expect((await at.get("namespaces/default/pods", as)).status).toBe(403);
    await at.server.call("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", {
      metadata: { name: "eva" },
      subjects: [{ kind: "User", apiGroup: "rbac.authorization.k8s.io", name: "eva" }],
      roleRef: {
        apiGroup: "rbac.authorization.k8s.io",
        kind: "ClusterRole",
        name: "system:aggregated-metrics-reader",
      },
    });
    expect((await at.get("namespaces/default/pods", as)).status).toBe(200);
  });
});

test("a thousand nodes are read at once", async () => {
  await using at = await usageWorld();
  await Promise.all(Array.from({ length: 1000 }, (_, n) => addNode(at, `edge-${n}`, report())));
  const { body } = await at.get("nodes");
  expect((body as unknown as { readonly items: readonly unknown[] }).items).toHaveLength(1000);
});
