import { expect, test } from "bun:test";
import { until } from "#internal/test/cloud/controllers/cluster-harness.ts";
import { startKubectlCluster } from "#internal/test/cloud/controllers/workloads/kubectl-cluster.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const web = {
  apiVersion: "apps/v1",
  kind: "StatefulSet",
  metadata: { name: "web" },
  spec: {
    replicas: 3,
    serviceName: "web",
    selector: { matchLabels: { app: "web" } },
    template: {
      metadata: { labels: { app: "web" } },
      spec: { containers: [{ name: "web", image: "web:1" }] },
    },
  },
};

const claims = [
  {
    metadata: { name: "data" },
    spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } },
  },
];

test("kubectl drives a StatefulSet through its life", async () => {
  using dir = tempDir();
  await using cluster = await startKubectlCluster(dir.path, ["a", "b"]);
  const { kubectl, deps } = cluster;
  const images = (): string[] =>
    deps.pods
      .list()
      .map(({ metadata, spec }) => `${metadata.name} ${spec.containers[0]?.image}`)
      .toSorted();
  const settled = (): Promise<string> => kubectl("rollout", "status", "sts/web", "--timeout=20s");

  await cluster.apply(web);
  await settled();
  expect(images()).toEqual(["web-0 web:1", "web-1 web:1", "web-2 web:1"]);
  await kubectl("set", "image", "sts/web", "web=web:2");
  await settled();
  expect(images()).toEqual(["web-0 web:2", "web-1 web:2", "web-2 web:2"]);
  expect(await kubectl("rollout", "history", "sts/web")).toMatch(/1 .*\n2 /);
  await kubectl("rollout", "undo", "sts/web");
  await settled();
  expect(images()).toEqual(["web-0 web:1", "web-1 web:1", "web-2 web:1"]);
  await kubectl("patch", "sts", "web", "-p", '{"spec":{"updateStrategy":{"rollingUpdate":{"partition":2}}}}');
  await kubectl("set", "image", "sts/web", "web=web:3");
  expect(await settled()).toContain("partitioned roll out complete: 1 new pods have been updated");
  expect(images()).toEqual(["web-0 web:1", "web-1 web:1", "web-2 web:3"]);
  // kubectl would wait for ever if the next pod of the name came between two of its requests.
  const uid = deps.pods.get("default/web-0")?.metadata.uid;
  await kubectl("delete", "pod", "web-0", "--wait=false");
  await until("another pod", () => ![undefined, uid].includes(deps.pods.get("default/web-0")?.metadata.uid));
  await until("created again", () => images().join() === "web-0 web:1,web-1 web:1,web-2 web:3");
  await kubectl("scale", "sts/web", "--replicas=1");
  await until("one pod", () => images().join() === "web-0 web:1");
  expect(await kubectl("get", "events", "-o", "jsonpath={.items[*].message}")).toContain(
    "delete Pod web-2 in StatefulSet web successful",
  );
  await kubectl("delete", "sts", "web", "--cascade=foreground", "--timeout=20s");
  expect([...deps.pods.list(), ...deps.controllerRevisions.list()]).toEqual([]);
}, 60_000);

test("the claims of a StatefulSet stay, or go when it is scaled down and deleted if it says so", async () => {
  using dir = tempDir();
  await using cluster = await startKubectlCluster(dir.path, ["a"]);
  const { kubectl, deps } = cluster;
  const names = (): string[] => deps.persistentVolumeClaims.list().map(({ metadata }) => metadata.name ?? "");
  const volumeMounts = [{ name: "data", mountPath: "/data" }];
  const template = {
    ...web.spec.template,
    spec: { containers: [{ name: "web", image: "web:1", volumeMounts }] },
  };
  const more = { replicas: 2, podManagementPolicy: "Parallel", volumeClaimTemplates: claims };
  const spec = { ...web.spec, ...more, template };
  await cluster.apply({ ...web, spec });
  await until("two claims", () => names().length === 2);
  expect(names().toSorted()).toEqual(["data-web-0", "data-web-1"]);
  const [claim] = deps.persistentVolumeClaims.list();
  expect(claim?.metadata.labels).toEqual({ app: "web" });
  await kubectl("scale", "sts/web", "--replicas=1");
  await until("one pod", () => deps.pods.list().length === 1);
  expect(names()).toHaveLength(2);

  const policy = { whenDeleted: "Delete", whenScaled: "Delete" };
  await cluster.apply({ ...web, spec: { ...spec, persistentVolumeClaimRetentionPolicy: policy } });
  await until("owned", () =>
    deps.persistentVolumeClaims
      .list()
      .some(({ metadata }) => metadata.ownerReferences?.[0]?.kind === "StatefulSet"),
  );
  await kubectl("scale", "sts/web", "--replicas=1");
  await until("claim of web-1 gone", () => names().join() === "data-web-0");
  await kubectl("delete", "sts", "web", "--timeout=20s");
  await until("no claim", () => names().length === 0);
}, 60_000);
