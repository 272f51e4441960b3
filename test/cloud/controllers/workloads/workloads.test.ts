import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { KubeError, resources } from "#cloud/kube-client";
import { systemClock } from "#shared/clock";
import type { Event, Pod } from "#shared/kube";
import type { Deployment, ReplicaSet } from "#internal/cloud/controllers/framework/workloads.ts";
import { FakeKubeClient } from "#internal/test/support/fake/fake-kube-client.ts";
import {
  conditionOf,
  deployment,
  readyStatus,
  startWorkloads,
  until,
  type WorkloadHarness,
} from "#internal/test/cloud/controllers/workload-harness.ts";

let kube: FakeKubeClient;
let harness: WorkloadHarness;
let isEdgeUp: boolean;
let kubelet: Disposable;

beforeEach(async () => {
  kube = new FakeKubeClient();
  harness = await startWorkloads(kube, systemClock);
  isEdgeUp = true;
  kubelet = harness.deps.pods.watch({
    added: (pod) => {
      if (isEdgeUp) kube.put(resources.pods, { ...pod, status: readyStatus(Date.now()) });
    },
  });
});

afterEach(async () => {
  kubelet[Symbol.dispose]();
  await harness[Symbol.asyncDispose]();
});

const pods = (): Pod[] => kube.all<Pod>(resources.pods);
const replicaSets = (): ReplicaSet[] => kube.all<ReplicaSet>(resources.replicaSets);
const read = (name = "web"): Deployment | undefined =>
  kube.peek<Deployment>(resources.deployments, `default/${name}`);
const at = { namespace: "default", name: "web" };
const isRolledOut = (): boolean => {
  const { spec, status, metadata } = read() ?? deployment("web");
  const count = spec.replicas ?? 1;
  return (
    status?.observedGeneration === metadata.generation &&
    status?.updatedReplicas === count &&
    status.replicas === count &&
    status.availableReplicas === count &&
    conditionOf(read(), "Progressing")?.reason === "NewReplicaSetAvailable"
  );
};
const change = (spec: unknown): Promise<Deployment> =>
  kube.patch<Deployment>(resources.deployments, at, { spec }, { type: "merge" });
const image = (name: string): unknown => ({
  template: { spec: { containers: [{ name: "app", image: name }] } },
});

describe("a Deployment", () => {
  test("creates pods and reports that they are available", async () => {
    await kube.create(resources.deployments, deployment("web", { replicas: 3 }));
    await until("rolled out", isRolledOut);
    expect(pods()).toHaveLength(3);
    const [replicaSet] = replicaSets();
    const hash = replicaSet?.metadata.labels?.["pod-template-hash"] ?? "";
    expect(replicaSet?.metadata.name).toBe(`web-${hash}`);
    expect(replicaSet?.spec.selector.matchLabels).toEqual({ app: "web", "pod-template-hash": hash });
    expect(pods()[0]?.metadata.labels).toEqual({ app: "web", "pod-template-hash": hash });
    expect(pods()[0]?.metadata.ownerReferences?.[0]).toMatchObject({ kind: "ReplicaSet", controller: true });
    expect(read()?.metadata.annotations?.["deployment.kubernetes.io/revision"]).toBe("1");
    expect(conditionOf(read(), "Available")).toMatchObject({
      status: "True",
      reason: "MinimumReplicasAvailable",
    });
    const reasons = (): string[] => kube.all<Event>(resources.events).map(({ reason }) => reason);
    await until(
      "events",
      () => reasons().includes("ScalingReplicaSet") && reasons().includes("SuccessfulCreate"),
    );
  });

  test("rolls to a new template within its limits and back again", async () => {
    await kube.create(
      resources.deployments,
      deployment("web", { replicas: 4, strategy: { rollingUpdate: { maxSurge: 1, maxUnavailable: 1 } } }),
    );
    await until("rolled out", isRolledOut);
    let most = 0;
    let fewest = 4;
    const counted = harness.deps.pods.watch({
      added: () => {
        most = Math.max(most, pods().length);
      },
      removed: () => {
        fewest = Math.min(fewest, pods().length);
      },
    });
    await change(image("app:2"));
    await until(
      "second template",
      () => isRolledOut() && pods().every((pod) => pod.spec.containers[0]?.image === "app:2"),
    );
    counted[Symbol.dispose]();
    expect(most).toBeLessThanOrEqual(5);
    expect(fewest).toBeGreaterThanOrEqual(3);
    expect(read()?.metadata.annotations?.["deployment.kubernetes.io/revision"]).toBe("2");
    await change(image("app:1"));
    await until(
      "first template",
      () => isRolledOut() && pods().every((pod) => pod.spec.containers[0]?.image === "app:1"),
    );
    expect(replicaSets()).toHaveLength(2);
    expect(read()?.metadata.annotations?.["deployment.kubernetes.io/revision"]).toBe("3");
  });

  test("keeps old pods while the new ones are not ready", async () => {
    await kube.create(resources.deployments, deployment("web", { replicas: 4 }));
    await until("rolled out", isRolledOut);
    isEdgeUp = false;
    await change(image("broken"));
    const countOf = (name: string): number =>
      pods().filter((pod) => pod.spec.containers[0]?.image === name).length;
    await until("new pods", () => countOf("broken") === 2 && countOf("app:1") === 3);
    await change({ progressDeadlineSeconds: 599 });
    await until("another run", () => read()?.status?.observedGeneration === read()?.metadata.generation);
    expect([countOf("broken"), countOf("app:1")]).toEqual([2, 3]);
    expect(conditionOf(read(), "Progressing")?.reason).toBe("ReplicaSetUpdated");
  });

  test("with Recreate creates no pod before the last old one is deleted", async () => {
    await kube.create(
      resources.deployments,
      deployment("web", { replicas: 2, strategy: { type: "Recreate" } }),
    );
    await until("rolled out", isRolledOut);
    let mixed = false;
    const watch = harness.deps.pods.watch({
      added: () => {
        mixed ||= new Set(pods().map((pod) => pod.spec.containers[0]?.image)).size > 1;
      },
    });
    await change(image("app:2"));
    await until("second template", () => isRolledOut() && pods()[0]?.spec.containers[0]?.image === "app:2");
    watch[Symbol.dispose]();
    expect(mixed).toBe(false);
  });

  test("scales up, down and to zero", async () => {
    await kube.create(resources.deployments, deployment("web"));
    for (const replicas of [1, 7, 2, 0]) {
      await change({ replicas });
      await until(`${replicas} pods`, () => pods().length === replicas && isRolledOut());
    }
  });

  test("does not roll while paused, and rolls when resumed", async () => {
    await kube.create(resources.deployments, deployment("web"));
    await until("rolled out", isRolledOut);
    await change({ paused: true, ...(image("app:2") as object) });
    await until("paused", () => conditionOf(read(), "Progressing")?.reason === "DeploymentPaused");
    expect(replicaSets()).toHaveLength(1);
    await change({ paused: false });
    await until("second template", () => isRolledOut() && pods()[0]?.spec.containers[0]?.image === "app:2");
  });

  test("reports ProgressDeadlineExceeded when it makes no progress in time", async () => {
    isEdgeUp = false;
    await kube.create(resources.deployments, deployment("web", { progressDeadlineSeconds: 1 }));
    await until("late", () => conditionOf(read(), "Progressing")?.reason === "ProgressDeadlineExceeded");
    expect(conditionOf(read(), "Available")?.status).toBe("False");
  });

  test("keeps revisionHistoryLimit old ReplicaSets", async () => {
    await kube.create(resources.deployments, deployment("web", { revisionHistoryLimit: 1 }));
    await until("rolled out", isRolledOut);
    for (const name of ["app:2", "app:3", "app:4"]) {
      await change(image(name));
      await until(name, () => isRolledOut() && pods()[0]?.spec.containers[0]?.image === name);
    }
    await until("two left", () => replicaSets().length === 2);
  });
});

describe("a ReplicaSet", () => {
  test("replaces a deleted pod by exactly one", async () => {
    await kube.create(resources.deployments, deployment("web", { replicas: 2 }));
    await until("rolled out", isRolledOut);
    const created = (): number =>
      kube.calls.filter(({ verb, plural }) => verb === "create" && plural === "pods").length;
    const [victim] = pods();
    await kube.remove(resources.pods, { namespace: "default", name: victim?.metadata.name ?? "" });
    await until("replaced", () => pods().length === 2);
    await change({ replicas: 3 });
    await until("scaled", () => pods().length === 3 && isRolledOut());
    expect(created()).toBe(4);
  });

  test("adopts a matching pod and releases one that no longer matches", async () => {
    await kube.create(resources.deployments, deployment("web"));
    await until("rolled out", isRolledOut);
    const [pod] = pods();
    const place = { namespace: "default", name: pod?.metadata.name ?? "" };
    await kube.patch(resources.pods, place, { metadata: { labels: { app: "other" } } }, { type: "merge" });
    await until("two pods", () => pods().length === 2);
    await until(
      "released",
      () => kube.peek<Pod>(resources.pods, `default/${place.name}`)?.metadata.ownerReferences === undefined,
    );
    await kube.patch(resources.pods, place, { metadata: { labels: { app: "web" } } }, { type: "merge" });
    await until("one pod", () => pods().length === 1);
  });

  test("reports refused pods as Events and retries", async () => {
    const refusal = new KubeError(403, "Forbidden", "exceeded quota");
    kube.fail(({ verb, plural }) => verb === "create" && plural === "pods", refusal, 3);
    await kube.create(resources.deployments, deployment("web", { replicas: 2 }));
    await until("rolled out", isRolledOut);
    const failed = (): Event | undefined =>
      kube.all<Event>(resources.events).find(({ reason }) => reason === "FailedCreate");
    await until("three refusals", () => failed()?.count === 3);
    expect(failed()?.message).toContain("exceeded quota");
  });

  test("shows that pods are refused until they no longer are", async () => {
    const refusal = new KubeError(403, "Forbidden", "exceeded quota");
    kube.fail(({ verb, plural }) => verb === "create" && plural === "pods", refusal, Infinity);
    await kube.create(resources.deployments, deployment("web", { replicas: 2 }));
    await until("the condition", () => conditionOf(read(), "ReplicaFailure") !== undefined);
    expect(conditionOf(read(), "ReplicaFailure")).toMatchObject({
      status: "True",
      reason: "FailedCreate",
      message: "exceeded quota",
    });
    expect(replicaSets()[0]?.status?.conditions?.[0]).toMatchObject({
      type: "ReplicaFailure",
      status: "True",
    });
    kube.succeed();
    await until("rolled out", isRolledOut);
    expect(conditionOf(read(), "ReplicaFailure")).toBeUndefined();
    expect(replicaSets()[0]?.status?.conditions).toEqual([]);
  });
});

describe("the garbage collector", () => {
  const rolledOut = async (): Promise<void> => {
    await kube.create(resources.deployments, deployment("web", { replicas: 3 }));
    await until("rolled out", isRolledOut);
  };
  const deleteWith = (finalizer: string): void => {
    const object = structuredClone(read()) ?? deployment("web");
    object.metadata.finalizers = [finalizer];
    object.metadata.deletionTimestamp = new Date().toISOString();
    kube.put(resources.deployments, object);
  };

  test("deletes the dependents of a deleted Deployment", async () => {
    await rolledOut();
    await kube.remove(resources.deployments, at);
    await until("all gone", () => pods().length === 0 && replicaSets().length === 0);
  });

  test("releases dependents with the orphan finalizer", async () => {
    await rolledOut();
    deleteWith("orphan");
    await until("owner gone", () => read() === undefined);
    const absent = { apiVersion: "v1", kind: "Node", name: "absent", uid: "u-1" };
    const lost = { metadata: { name: "lost", namespace: "default", ownerReferences: [absent] } };
    kube.put<Pod>(resources.pods, { ...lost, spec: { containers: [] } });
    await until("later garbage gone", () => kube.peek(resources.pods, "default/lost") === undefined);
    expect(pods()).toHaveLength(3);
    expect(replicaSets()[0]?.metadata.ownerReferences).toBeUndefined();
  });

  test("keeps the owner until its dependents are deleted in the foreground", async () => {
    await rolledOut();
    deleteWith("foregroundDeletion");
    await until("owner gone", () => read() === undefined);
    expect(replicaSets()).toHaveLength(0);
  });

  test("keeps objects with an owner of an unknown kind", async () => {
    const owner = { apiVersion: "example.com/v1", kind: "Thing", name: "a", uid: "u-1", controller: true };
    kube.put<Pod>(resources.pods, {
      metadata: { name: "odd", namespace: "default", ownerReferences: [owner] },
      spec: { containers: [] },
    });
    kube.put<Pod>(resources.pods, {
      metadata: {
        name: "lost",
        namespace: "default",
        ownerReferences: [{ ...owner, apiVersion: "v1", kind: "Node" }],
      },
      spec: { containers: [] },
    });
    await until("one left", () => pods().length === 1);
    expect(pods()[0]?.metadata.name).toBe("odd");
  });
});
