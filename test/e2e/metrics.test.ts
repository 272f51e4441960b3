import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readExposition } from "#internal/test/support/exposition.ts";
import { demoImage } from "#internal/scripts/engine.ts";
import { deployment, hasPair, startPair, until, type Pair } from "#internal/test/support/pair.ts";

describe.skipIf(!hasPair())("usage of nodes and pods", () => {
  let pair: Pair;
  beforeAll(async () => {
    pair = await startPair();
    // Busy half of the time: the machine has other things to do.
    const script = "while :; do i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; sleep 0.05; done";
    const web = { name: "web", image: demoImage, command: ["/bin/busybox", "sh", "-c", script] };
    const resources = { requests: { cpu: "10m" } };
    await pair.apply(
      deployment("busy", { terminationGracePeriodSeconds: 0, containers: [{ ...web, resources }] }),
    );
    await pair.kubectl("rollout", "status", "deployment/busy", "--timeout=60s");
  }, 90_000);
  afterAll(async () => {
    await pair?.[Symbol.asyncDispose]();
  }, 20_000);

  test("kubectl top shows the node, and the container that is busy", async () => {
    const [, node = ""] = (await pair.kubectl("top", "nodes")).split("\n");
    expect(node).toMatch(new RegExp(String.raw`^${pair.node}\s+\d+m\s+\d+%\s+\d+Mi\s+\d+%`));
    await until(30_000, async () => {
      const pods = await pair.kubectl("top", "pods", "-A", "--containers", "--no-headers");
      const [, millicores] = /^default\s+busy-\S+\s+web\s+(\d+)m\s+\d+Mi/m.exec(pods) ?? [];
      return Number(millicores) > 20 || `kubectl top says ${pods}`;
    });
  }, 60_000);

  test("a HorizontalPodAutoscaler adds pods while the processor is busy", async () => {
    await pair.kubectl("autoscale", "deployment", "busy", "--cpu-percent=50", "--min=1", "--max=2");
    await pair.kubectl("wait", "hpa/busy", "--for=condition=ScalingLimited", "--timeout=90s");
    await pair.kubectl("wait", "deployment/busy", "--for=jsonpath={.spec.replicas}=2", "--timeout=60s");
    const events = await pair.kubectl("get", "events", "--field-selector=reason=SuccessfulRescale");
    expect(events).toContain(
      "New size: 2; reason: cpu resource utilization (percentage of request) above target",
    );
  }, 160_000);

  test("both programs show metrics to Prometheus", async () => {
    const api = readExposition(await pair.kubectl("get", "--raw", "/metrics"));
    expect(api.find(({ name }) => name === "kubeedge_connected_nodes")?.value).toBe(1);
    const gets = api.filter(
      ({ name, labels }) => name === "apiserver_request_total" && labels["verb"] === "GET",
    );
    expect(gets.length).toBeGreaterThan(0);
    const [, port = ""] = /"listener":"devices","port":(\d+)/.exec(pair.edgeLog()) ?? [];
    const scrape = async (path: string): Promise<ReturnType<typeof readExposition>> =>
      readExposition(await (await fetch(`http://127.0.0.1:${port}${path}`)).text());
    const own = await scrape("/metrics");
    expect(own.find(({ name }) => name === "kubeedge_link_connected")?.value).toBe(1);
    const containers = await scrape("/metrics/cadvisor");
    expect(
      containers.filter(({ labels }) => labels["container"] === "web").map(({ name }) => name),
    ).toContain("container_cpu_usage_seconds_total");
    const resource = await scrape("/metrics/resource");
    expect(resource.find(({ name }) => name === "node_memory_working_set_bytes")?.value).toBeGreaterThan(0);
  }, 30_000);
});
