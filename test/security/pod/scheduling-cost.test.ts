import { expect, test } from "bun:test";
import { resources } from "#cloud/kube-client";
import { startCluster } from "#internal/test/cloud/controllers/cluster-harness.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import type { KubeObject } from "#shared/kube";

const term = (index: number): object => ({
  topologyKey: "zone",
  labelSelector: { matchLabels: { app: `app-${index}` } },
});

function podWith(spec: object): KubeObject {
  const containers = [{ name: "c", image: "busybox" }];
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "p", namespace: "default" },
    spec: { containers, ...spec },
  };
}

/** The scheduler compares each of these with every pod of the cluster. */
test.each([
  [
    "affinity",
    {
      affinity: {
        podAntiAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: Array.from({ length: 20_000 }, (_, i) => term(i)),
        },
      },
    },
  ],
  [
    "topologySpreadConstraints",
    {
      topologySpreadConstraints: Array.from({ length: 20_000 }, (_, index) => ({
        maxSkew: 1,
        topologyKey: `zone-${index}`,
        whenUnsatisfiable: "ScheduleAnyway",
        labelSelector: {},
      })),
    },
  ],
])("a pod with twenty thousand terms of %s is refused", async (field, spec) => {
  using dir = tempDir();
  await using cluster = await startCluster(dir.path);
  const refusal = await cluster.kube.create(resources.pods, podWith(spec)).catch(String);
  expect(refusal).toContain(`spec.${field}: Too long: must have at most 32768 bytes`);
});
