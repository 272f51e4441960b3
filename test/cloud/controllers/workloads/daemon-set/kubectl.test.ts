import { expect, test } from "bun:test";
import type { Pod } from "#shared/kube";
import { until } from "#internal/test/cloud/controllers/cluster-harness.ts";
import { startKubectlCluster } from "#internal/test/cloud/controllers/workloads/kubectl-cluster.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const agent = {
  apiVersion: "apps/v1",
  kind: "DaemonSet",
  metadata: { name: "agent", annotations: { "kubernetes.io/change-cause": "first" } },
  spec: {
    selector: { matchLabels: { app: "agent" } },
    template: {
      metadata: { labels: { app: "agent" } },
      spec: { containers: [{ name: "agent", image: "agent:1" }] },
    },
  },
};

test("kubectl drives a DaemonSet through its life", async () => {
  using dir = tempDir();
  await using cluster = await startKubectlCluster(dir.path, ["a", "b", "c"]);
  const { kubectl, deps } = cluster;
  const images = (): string[] =>
    deps.pods
      .list()
      .map((pod: Pod) => `${pod.spec.nodeName} ${pod.spec.containers[0]?.image}`)
      .toSorted();
  const settled = (): Promise<string> => kubectl("rollout", "status", "ds/agent", "--timeout=20s");

  await cluster.apply(agent);
  expect(await settled()).toContain("successfully rolled out");
  expect(images()).toEqual(["a agent:1", "b agent:1", "c agent:1"]);
  await kubectl("set", "image", "ds/agent", "agent=agent:2");
  await kubectl("annotate", "ds/agent", "kubernetes.io/change-cause=second", "--overwrite");
  await settled();
  expect(images()).toEqual(["a agent:2", "b agent:2", "c agent:2"]);
  expect(await kubectl("rollout", "history", "ds/agent")).toMatch(/1 .*\n2 /);
  expect(await kubectl("rollout", "history", "ds/agent", "--revision=1")).toContain("agent:1");
  await kubectl("rollout", "undo", "ds/agent");
  await settled();
  expect(images()).toEqual(["a agent:1", "b agent:1", "c agent:1"]);
  expect(await kubectl("rollout", "history", "ds/agent")).toMatch(/2 .*\n3 /);
  expect(await kubectl("get", "ds", "agent")).toMatch(/agent +3 +3 +3 +3 +3/);

  await kubectl("label", "node", "a", "disk=ssd");
  await kubectl(
    "patch",
    "ds",
    "agent",
    "-p",
    '{"spec":{"template":{"spec":{"nodeSelector":{"disk":"ssd"}}}}}',
  );
  await settled();
  await until("one pod left", () => images().join() === "a agent:1");
  await kubectl("label", "node", "a", "disk-");
  await until("no pod left", () => images().length === 0);
  await kubectl("delete", "ds", "agent", "--cascade=foreground", "--timeout=20s");
  expect(deps.controllerRevisions.list()).toEqual([]);
}, 60_000);

test("a DaemonSet with a strategy of OnDelete gives a new template to pods that are deleted", async () => {
  using dir = tempDir();
  await using cluster = await startKubectlCluster(dir.path, ["a", "b"]);
  const { kubectl, deps } = cluster;
  await cluster.apply({ ...agent, spec: { ...agent.spec, updateStrategy: { type: "OnDelete" } } });
  const read = async (): Promise<string> =>
    kubectl("get", "ds", "agent", "-o", "jsonpath={.status.numberReady}{.status.updatedNumberScheduled}");
  await until("ready", async () => (await read()) === "22");
  await kubectl("set", "image", "ds/agent", "agent=agent:2");
  await until("outdated", async () => (await read()) === "20");
  const onA = deps.pods.list().find(({ spec }) => spec.nodeName === "a");
  await kubectl("delete", "pod", onA?.metadata.name ?? "");
  await until("one updated", async () => (await read()) === "21");
  const images = deps.pods.list().map(({ spec }) => `${spec.nodeName} ${spec.containers[0]?.image}`);
  expect(images.toSorted()).toEqual(["a agent:2", "b agent:1"]);
}, 60_000);

test("a failed pod of a DaemonSet is replaced, with an Event", async () => {
  using dir = tempDir();
  await using cluster = await startKubectlCluster(dir.path, ["a"]);
  const { kubectl, deps } = cluster;
  await cluster.apply(agent);
  await kubectl("rollout", "status", "ds/agent", "--timeout=20s");
  const [pod] = deps.pods.list();
  const name = pod?.metadata.name ?? "";
  await kubectl("patch", "pod", name, "--subresource=status", "-p", '{"status":{"phase":"Failed"}}');
  await until("replaced", () => deps.pods.list().some(({ metadata }) => metadata.name !== name));
  await kubectl("rollout", "status", "ds/agent", "--timeout=20s");
  const events = await kubectl("get", "events", "-o", "jsonpath={.items[*].message}");
  expect(events).toContain(`Found failed daemon pod default/${name} on node a, will try to kill it`);
}, 60_000);
