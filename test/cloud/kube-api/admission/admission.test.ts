import { beforeAll, afterAll, describe, expect, test } from "bun:test";
import { resources, type KubeClient, type ResourceType } from "#cloud/kube-client";
import { smallPod, startCluster, type Cluster } from "#internal/test/cloud/controllers/cluster-harness.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import type { KubeObject, Pod, PodSpec } from "#shared/kube";
import { claimSourceOf } from "#shared/volumes";

const kindOf = (group: string, plural: string, kind: string): ResourceType => ({
  group,
  version: "v1",
  plural,
  kind,
  namespaced: false,
});
const priorityClasses = kindOf("scheduling.k8s.io", "priorityclasses", "PriorityClass");
const runtimeClasses = kindOf("node.k8s.io", "runtimeclasses", "RuntimeClass");

let dir: ReturnType<typeof tempDir>;
let cluster: Cluster;
let kube: KubeClient;

beforeAll(async () => {
  dir = tempDir();
  cluster = await startCluster(dir.path);
  ({ kube } = cluster);
});

afterAll(async () => {
  await cluster[Symbol.asyncDispose]();
  dir[Symbol.dispose]();
});

const create = (type: ResourceType, name: string, fields: Record<string, unknown>): Promise<KubeObject> =>
  kube.create<KubeObject>(type, { metadata: { name }, ...fields });
const createPod = (name: string, spec: Partial<PodSpec>): Promise<Pod> => {
  const pod = smallPod(name);
  return kube.create(resources.pods, { ...pod, spec: { ...pod.spec, ...spec } });
};
const refusal = (call: Promise<unknown>): Promise<string> =>
  call.then(
    () => "admitted",
    (error: unknown) => String(error).replace(/^\w+: /, ""),
  );

describe("the priority of a pod", () => {
  test("is that of its class, with the class's preemption policy", async () => {
    await create(priorityClasses, "high", { value: 1000, preemptionPolicy: "Never" });
    const { spec } = await createPod("high", { priorityClassName: "high" });
    expect([spec.priority, spec.preemptionPolicy]).toEqual([1000, "Never"]);
  });

  test("is that of the system's class", async () => {
    const { spec } = await createPod("critical", { priorityClassName: "system-node-critical" });
    expect(spec.priority).toBe(2_000_001_000);
  });

  test("is refused when the class does not exist", async () => {
    expect(await refusal(createPod("lost", { priorityClassName: "lost" }))).toBe(
      'pods "lost" is forbidden: no PriorityClass with name lost was found',
    );
  });

  test("may not be given by its author", async () => {
    expect(await refusal(createPod("own", { priority: 5 }))).toBe(
      'pods "own" is forbidden: the integer value of priority (5) must not be provided in pod spec; ' +
        "priority admission controller computed 0 from the given PriorityClass name",
    );
  });

  test("is that of the default class when it names none", async () => {
    await create(priorityClasses, "usual", { value: 7, globalDefault: true });
    const { spec } = await createPod("usual", {});
    expect([spec.priority, spec.priorityClassName]).toEqual([7, "usual"]);
    expect(await refusal(create(priorityClasses, "other", { value: 8, globalDefault: true }))).toContain(
      "PriorityClass usual is already marked as default. Only one default can exist",
    );
    await kube.remove(priorityClasses, { name: "usual" });
  });

  test("above a billion is for the system", async () => {
    expect(await refusal(create(priorityClasses, "huge", { value: 1_000_000_001 }))).toContain(
      "maximum allowed value of a user defined priority is 1000000000",
    );
    expect(await refusal(create(priorityClasses, "system-own", { value: 1 }))).toContain(
      "reserved for system use only",
    );
  });
});

describe("the RuntimeClass of a pod", () => {
  test("adds overhead, node selector and tolerations", async () => {
    const tolerations = [{ key: "vm", operator: "Exists" }];
    await create(runtimeClasses, "vm", {
      handler: "vm",
      overhead: { podFixed: { cpu: "250m" } },
      scheduling: { nodeSelector: { vm: "yes" }, tolerations },
    });
    const { spec } = await createPod("vm", { runtimeClassName: "vm", nodeSelector: { disk: "ssd" } });
    expect([spec.overhead, spec.nodeSelector]).toEqual([{ cpu: "250m" }, { disk: "ssd", vm: "yes" }]);
    expect(spec.tolerations).toContainEqual(tolerations[0] ?? {});
  });

  test("has to exist", async () => {
    expect(await refusal(createPod("none", { runtimeClassName: "none" }))).toBe(
      'pods "none" is forbidden: pod rejected: RuntimeClass "none" not found',
    );
  });
});

test("a claim gets the default class and its protection, one that names none gets no class", async () => {
  const annotations = { "storageclass.kubernetes.io/is-default-class": "true" };
  await kube.create<KubeObject>(resources.storageClasses, {
    metadata: { name: "usual", annotations },
    provisioner: "example.com/p",
  });
  const spec = { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } };
  const claim = (name: string, more: object): Promise<KubeObject> =>
    kube.create<KubeObject>(resources.persistentVolumeClaims, {
      metadata: { name, namespace: "default" },
      spec: { ...spec, ...more },
    });
  const usual = await claim("usual", {});
  expect([usual["spec"], usual.metadata.finalizers]).toMatchObject([
    { storageClassName: "usual" },
    ["kubernetes.io/pvc-protection"],
  ]);
  expect((await claim("static", { storageClassName: "" }))["spec"]).toMatchObject({ storageClassName: "" });
});

test("the author of a claim cannot name a place of a node for it", async () => {
  const claim = await kube.create<KubeObject>(resources.persistentVolumeClaims, {
    metadata: { name: "forged", namespace: "default" },
    spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } },
    kubeedgeVolumeSource: { path: "/etc", type: "", isProvisioned: false },
  });
  expect(claimSourceOf(claim)).toBeUndefined();
});
