import { expect, test } from "bun:test";
import { resources } from "#cloud/kube-client";
import type { Node, Pod } from "#shared/kube";
import { eventually } from "#internal/scripts/service.ts";
import { FakeKubeClient } from "#internal/test/support/fake/fake-kube-client.ts";

const pod = (name: string, nodeName?: string): Pod => ({
  metadata: { name, namespace: "default", labels: { app: "web" } },
  spec: { containers: [{ name: "c" }], ...(nodeName ? { nodeName } : {}) },
});

test("fake client refuses a second object of the same name", async () => {
  await using kube = new FakeKubeClient();
  await kube.create(resources.pods, pod("a"));
  const second = kube.create(resources.pods, pod("a"));
  await expect(second).rejects.toMatchObject({ httpStatus: 409, reason: "AlreadyExists" });
});

test("fake client refuses a replace when the version is old", async () => {
  await using kube = new FakeKubeClient();
  const first = await kube.create(resources.pods, pod("a"));
  await kube.replace(resources.pods, { ...first, metadata: { ...first.metadata, labels: {} } });
  await expect(kube.replace(resources.pods, first)).rejects.toMatchObject({ reason: "Conflict" });
});

test("fake client merges conditions by type when a status is patched", async () => {
  await using kube = new FakeKubeClient();
  const conditions = [
    { type: "Ready", status: "True" as const },
    { type: "DiskPressure", status: "False" as const },
  ];
  kube.put(resources.nodes, { metadata: { name: "n" }, status: { conditions } });
  const patch = { status: { conditions: [{ type: "Ready", status: "False" }] } };
  const at = { name: "n" };
  const node = await kube.patch<Node>(resources.nodes, at, patch, {
    type: "strategic",
    subresource: "status",
  });
  expect(node.status?.conditions?.map(({ type, status }) => `${type}=${status}`)).toEqual([
    "Ready=False",
    "DiskPressure=False",
  ]);
});

test("fake informer reports added, updated and removed in order when objects enter and leave its selection", async () => {
  await using kube = new FakeKubeClient();
  kube.put(resources.pods, pod("a", "n1"));
  const informer = kube.informer<Pod>(resources.pods, { fieldSelector: "spec.nodeName=n1" });
  const events: string[] = [];
  informer.watch({
    added: ({ metadata }) => void events.push(`+${metadata.name}`),
    updated: ({ metadata }) => void events.push(`~${metadata.name}`),
    removed: ({ metadata }) => void events.push(`-${metadata.name}`),
  });
  kube.put(resources.pods, pod("b", "n2"));
  kube.put(resources.pods, { ...pod("a", "n1"), status: { phase: "Running" } });
  await kube.remove(resources.pods, { namespace: "default", name: "a" }, { graceSeconds: 0 });
  await eventually(2_000, async () => expect(events).toEqual(["+a", "~a", "-a"]));
});

test("fake client keeps a bound pod until its node lets it go when it is removed gracefully", async () => {
  await using kube = new FakeKubeClient();
  const at = { namespace: "default", name: "a" };
  await kube.create(resources.pods, pod("a", "n1"));
  await kube.remove(resources.pods, at);
  const terminating = kube.peek(resources.pods, "default/a")?.metadata.deletionGracePeriodSeconds;
  await kube.remove(resources.pods, at, { graceSeconds: 0 });
  expect([terminating, kube.peek(resources.pods, "default/a")]).toEqual([30, undefined]);
});
