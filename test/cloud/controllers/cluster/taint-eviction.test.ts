import { expect, test } from "bun:test";
import { resources } from "#cloud/kube-client";
import { startTaintEviction } from "#internal/cloud/controllers/cluster/taint-eviction/controller.ts";
import { toleratedSeconds } from "#internal/cloud/controllers/cluster/taint-eviction/tolerated.ts";
import { controllerDeps, readyNode, smallPod } from "#internal/test/cloud/controllers/cluster-harness.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { FakeKubeClient } from "#internal/test/support/fake/fake-kube-client.ts";
import type { Event, Pod, Taint, Toleration } from "#shared/kube";

const taint: Taint = { key: "maintenance", value: "now", effect: "NoExecute" };
const tolerating = (seconds?: number): Toleration => ({
  key: "maintenance",
  operator: "Exists",
  effect: "NoExecute",
  ...(seconds !== undefined && { tolerationSeconds: seconds }),
});

function podOn(node: string, name: string, tolerations: Toleration[] = []): Pod {
  const pod = smallPod(name);
  return {
    ...pod,
    metadata: { ...pod.metadata, uid: `uid-${name}` },
    spec: { ...pod.spec, nodeName: node, tolerations },
  };
}

async function world(...pods: Pod[]) {
  const clock = new FakeClock();
  const kube = new FakeKubeClient({ clock });
  kube.put(resources.nodes, readyNode("edge-1"));
  kube.put(resources.nodes, readyNode("edge-2"));
  for (const pod of pods) kube.put(resources.pods, pod);
  const eviction = startTaintEviction(await controllerDeps(kube, clock));
  const taintNode = async (...taints: Taint[]): Promise<void> => {
    kube.put(resources.nodes, { ...readyNode("edge-1"), spec: { taints } });
    await clock.advance(0);
  };
  const left = (): string[] =>
    pods
      .map(({ metadata }) => metadata.name ?? "")
      .filter((name) => {
        const found = kube.peek<Pod>(resources.pods, `default/${name}`);
        return found !== undefined && found.metadata.deletionTimestamp === undefined;
      });
  return { clock, kube, taintNode, left, [Symbol.asyncDispose]: () => eviction[Symbol.asyncDispose]() };
}

test("a taint of effect NoExecute ends the pods of its node that do not tolerate it", async () => {
  await using at = await world(
    podOn("edge-1", "plain"),
    podOn("edge-1", "tolerant", [tolerating()]),
    podOn("edge-2", "elsewhere"),
  );
  await at.taintNode({ ...taint, effect: "NoSchedule" });
  expect(at.left()).toEqual(["plain", "tolerant", "elsewhere"]);
  await at.taintNode(taint);
  expect(at.left()).toEqual(["tolerant", "elsewhere"]);
});

test("a pod that tolerates a taint for some seconds is ended after them", async () => {
  await using at = await world(
    podOn("edge-1", "short", [tolerating(5)]),
    podOn("edge-1", "long", [tolerating(25)]),
  );
  await at.taintNode(taint);
  await at.clock.advance(4_999);
  expect(at.left()).toEqual(["short", "long"]);
  await at.clock.advance(1);
  expect(at.left()).toEqual(["long"]);
  await at.clock.advance(20_000);
  expect(at.left()).toEqual([]);
});

test("a pod stays when the taint is removed in time, and its time starts over with the next one", async () => {
  await using at = await world(podOn("edge-1", "p", [tolerating(5)]));
  await at.taintNode(taint);
  await at.clock.advance(4_000);
  await at.taintNode();
  await at.clock.advance(60_000);
  expect(at.left()).toEqual(["p"]);
  await at.taintNode(taint);
  await at.clock.advance(4_000);
  expect(at.left()).toEqual(["p"]);
  await at.clock.advance(1_000);
  expect(at.left()).toEqual([]);
  const messages = at.kube.all<Event>(resources.events).map(({ message }) => message);
  expect(messages).toEqual(["Cancelling deletion of Pod default/p", "Marking for deletion Pod default/p"]);
});

test.each([
  ["no toleration", [], 0],
  ["a toleration without limit", [tolerating()], undefined],
  ["the shortest of two limits", [tolerating(9), tolerating(3)], 3],
  ["a limit below zero", [tolerating(-1)], 0],
  ["a toleration of another taint", [{ key: "other", operator: "Exists" }], 0],
] as [string, Toleration[], number | undefined][])(
  "a pod may stay on a tainted node by %s",
  (_what, tolerations, seconds) => {
    expect(toleratedSeconds(podOn("n", "p", tolerations), [taint])).toBe(seconds);
  },
);
