import { expect, test } from "bun:test";
import { createKubeClient } from "#cloud/kube-client";
import { MetricApis } from "#internal/cloud/controllers/workloads/autoscaler/metric-apis.ts";
import type { MetricSpec } from "#internal/cloud/controllers/workloads/autoscaler/autoscaler.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { systemClock } from "#shared/clock";

/** An API server that answers each path with values, and 404 for others. */
async function asking(answers: Record<string, string[]>, spec: MetricSpec) {
  const asked: string[] = [];
  using server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: ({ url }) => {
      const { pathname, search } = new URL(url);
      asked.push(`${pathname}${search}`);
      const values = answers[pathname];
      if (!values)
        return Response.json(
          { kind: "Status", reason: "NotFound", code: 404, message: "no such metric" },
          { status: 404 },
        );
      const items = values.map((value, index) => ({
        describedObject: { name: `p${index}` },
        timestamp: "2026-01-01T00:00:00Z",
        value,
      }));
      return Response.json({ kind: "MetricValueList", metadata: {}, items });
    },
  });
  await using kube = await createKubeClient(
    { from: "master", url: `http://127.0.0.1:${server.port}` },
    { clock: systemClock, log: silentLog() },
  );
  const reading = await new MetricApis(kube).read(spec, { namespace: "shop", selector: "app=web" });
  return { asked, reading };
}

const metric = { name: "rate per/second", selector: { matchLabels: { verb: "GET" } } };
const target = { averageValue: "1" };
const encoded = "rate%20per%2Fsecond";

test("values of pods are asked of the newest version that is served", async () => {
  const older = `/apis/custom.metrics.k8s.io/v1beta1/namespaces/shop/pods/*/${encoded}`;
  const spec: MetricSpec = { type: "Pods", pods: { metric, target } };
  const { asked, reading } = await asking({ [older]: ["1500m", "2"] }, spec);
  const query = "?labelSelector=app%3Dweb&metricLabelSelector=verb%3DGET";
  expect(asked).toEqual([older.replace("v1beta1", "v1beta2") + query, older + query]);
  const timestamp = "2026-01-01T00:00:00Z";
  expect(reading).toEqual({
    ok: true,
    values: [
      { object: "p0", value: 1500, timestamp },
      { object: "p1", value: 2000, timestamp },
    ],
  });
});

test.each([
  [
    { apiVersion: "networking.k8s.io/v1", kind: "Ingress", name: "main" },
    "namespaces/shop/ingresses.networking.k8s.io/main",
  ],
  [{ kind: "Service", name: "web" }, "namespaces/shop/services/web"],
  [{ kind: "Node", name: "edge-1" }, "nodes/edge-1"],
  [{ kind: "Namespace", name: "shop" }, "namespaces/shop/metrics"],
])("a value of %j is asked under %s", async (describedObject, place) => {
  const path = `/apis/custom.metrics.k8s.io/v1beta2/${place}/${encoded}`;
  const spec: MetricSpec = { type: "Object", object: { describedObject, metric, target } };
  const { asked } = await asking({ [path]: ["1"] }, spec);
  expect(asked).toEqual([`${path}?metricLabelSelector=verb%3DGET`]);
});

test("a value of nothing in the cluster is asked of the external API, and its refusal is the problem", async () => {
  const { asked, reading } = await asking({}, { type: "External", external: { metric, target } });
  const path = `/apis/external.metrics.k8s.io/v1beta1/namespaces/shop/${encoded}`;
  expect(asked).toEqual([`${path}?labelSelector=verb%3DGET`]);
  const problem = "unable to fetch metrics from external metrics API: no such metric";
  expect(reading).toEqual({ ok: false, problem: expect.stringContaining(problem) });
});
