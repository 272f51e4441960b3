import { expect, test } from "bun:test";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { EdgedHarness } from "#internal/test/support/edge/edged-harness.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { FakeRuntime } from "#internal/test/support/fake/fake-runtime.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import type { KubeObject, Pod } from "#shared/kube";
import { withClaimSource } from "#shared/volumes";

const name = "pvc-0b3f9a52-8f0e-4d7c-9f65-1f1b7f6f2a11";

test("the directory of a deleted claim stays while a pod of the node has it, and goes after that", async () => {
  using dir = tempDir();
  const clock = new FakeClock();
  const runtime = new FakeRuntime(clock);
  runtime.addImage("web:1");
  await using edge = new EdgedHarness();
  const path = join(dir.path, `${name}_default_data`);
  mkdirSync(path);
  const volume: KubeObject = {
    metadata: { name, annotations: { "pv.kubernetes.io/provisioned-by": "kubeedge.io/local-path" } },
    spec: { hostPath: { path, type: "DirectoryOrCreate" } },
  };
  const claim: KubeObject = { metadata: { name: "data", namespace: "default" } };
  edge.objects.set("default/persistentvolumeclaim/data", withClaimSource(claim, volume));
  await edge.start(runtime, clock, { dataDir: join(dir.path, "edged") });
  const pod: Pod = {
    metadata: { name: "web", namespace: "default", uid: "uid-web" },
    spec: {
      containers: [{ name: "c", image: "web:1" }],
      volumes: [{ name: "d", persistentVolumeClaim: { claimName: "data" } }],
    },
  };
  await edge.apply(pod);
  await clock.advance(0);
  expect(await edge.removeVolume(volume).catch(String)).toContain('is in use by pod "default/web"');
  expect(existsSync(path)).toBe(true);
  await edge.apply({ ...pod, metadata: { ...pod.metadata, deletionTimestamp: "2026-01-01T00:00:00Z" } });
  await clock.advance(60_000);
  await edge.removeVolume(volume);
  expect(existsSync(path)).toBe(false);
});
