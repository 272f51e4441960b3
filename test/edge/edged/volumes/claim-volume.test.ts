import { expect, test } from "bun:test";
import { mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { prepareClaim } from "#internal/edge/edged/volumes/claim-volume.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { withClaimSource } from "#shared/volumes";
import type { KubeObject } from "#shared/kube";

const claim: KubeObject = {
  metadata: { name: "data", namespace: "default" },
  spec: { volumeName: "pv-1" },
};

function prepare(volume: KubeObject | undefined): string | undefined {
  const found = volume && withClaimSource(claim, volume);
  const key = "persistentvolumeclaim/data";
  const objects = new Map([[key, found]]);
  try {
    return prepareClaim("v", { claimName: "data" }, objects);
  } catch (error) {
    return String(error).replace(/^\w+: /, "");
  }
}

const setUp = 'MountVolume.SetUp failed for volume "v" : ';
const provisioned = {
  name: "pv",
  annotations: { "pv.kubernetes.io/provisioned-by": "kubeedge.io/local-path" },
};

test("the directory of a provisioned volume is made, writable by every pod and closed to other users of the host", () => {
  using dir = tempDir();
  const path = join(dir.path, "storage/pvc-1");
  const hostPath = { path, type: "DirectoryOrCreate" };
  expect(prepare({ metadata: provisioned, spec: { hostPath } })).toBe(path);
  expect([path, join(dir.path, "storage")].map((one) => statSync(one).mode & 0o777)).toEqual([0o777, 0o700]);
});

test("a local volume has to be there, and keeps its mode", () => {
  using dir = tempDir();
  const path = join(dir.path, "disk");
  const local = { metadata: { name: "pv" }, spec: { local: { path } } };
  expect(prepare(local)).toBe(`${setUp}hostPath type check failed: ${path} is not a directory`);
  mkdirSync(path, { mode: 0o750 });
  expect(prepare(local)).toBe(path);
  expect(statSync(path).mode & 0o777).toBe(0o750);
});

test.each<[string, KubeObject | undefined, string]>([
  ["without a bound claim", undefined, 'persistentvolumeclaim "data" not found, or not bound'],
  [
    "of another kind",
    {
      metadata: { name: "pv-1" },
      spec: { capacity: { storage: "1Gi" }, csi: { driver: "disk.example.com", volumeHandle: "v" } },
    },
    'the volume "pv-1" of persistentvolumeclaim "data" is of a kind that is not served on this node: csi, driver disk.example.com',
  ],
  [
    "with a path that leaves",
    { metadata: provisioned, spec: { hostPath: { path: "/tmp/../etc/x", type: "DirectoryOrCreate" } } },
    'invalid path "/tmp/../etc/x"',
  ],
])("a volume %s is refused", (_name, volume, expected) => {
  expect(prepare(volume)).toBe(setUp + expected);
});
