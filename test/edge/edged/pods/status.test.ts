import { expect, test } from "bun:test";
import { qosClass } from "#shared/scheduling";
import type { Pod } from "#shared/kube";

type Resources = { limits?: Record<string, string>; requests?: Record<string, string> };

const pod = (...resources: Resources[]): Pod => ({
  metadata: { name: "p" },
  spec: { containers: resources.map((one, index) => ({ name: `c${index}`, resources: one })) },
});
const full = { cpu: "100m", memory: "64Mi" };

test.each<[string, Resources[]]>([
  ["BestEffort", [{}]],
  ["Guaranteed", [{ limits: full }]],
  ["Guaranteed", [{ limits: full, requests: { cpu: "0.1", memory: "65536Ki" } }]],
  ["Burstable", [{ requests: { cpu: "1m" } }]],
  ["Burstable", [{ limits: full }, {}]],
  ["Burstable", [{ limits: full, requests: { cpu: "50m" } }]],
])("qosClass is %s for %j", (expected, resources) => {
  expect(qosClass(pod(...resources))).toBe(expected as "BestEffort");
});
