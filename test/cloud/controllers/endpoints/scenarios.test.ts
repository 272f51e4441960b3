import { join } from "node:path";
import { selectsPod, subsetsOf, type Service } from "#internal/cloud/controllers/endpoints/subsets.ts";
import { runScenarios, type ScenarioBlock } from "#internal/test/support/scenario.ts";
import type { Pod } from "#shared/kube";

interface PodCase {
  readonly name: string;
  readonly ip?: string;
  readonly ready?: boolean;
  readonly phase?: "Pending" | "Running" | "Succeeded" | "Failed";
  readonly deleting?: boolean;
  readonly namespace?: string;
  readonly labels?: Record<string, string>;
  readonly ports?: Pod["spec"]["containers"][number]["ports"];
}

/** `endpoints`: the first document is the spec of a Service that selects app=web, the others are pods. */
runScenarios(join(import.meta.dir, "scenarios"), () => ({
  endpoints: ({ input: [spec, ...pods] }: ScenarioBlock) => {
    // The cases are ours: a field of the wrong type fails its case.
    const given = { selector: { app: "web" }, ...(spec as Service["spec"]) };
    const service: Service = { metadata: { name: "web", namespace: "default" }, spec: given };
    const selected = pods
      .map((pod) => podOf(pod as unknown as PodCase))
      .filter((pod) => selectsPod(service, pod));
    return subsetsOf(service, selected).map((subset) => ({
      ...(subset.addresses && { ready: subset.addresses.map(({ ip }) => ip) }),
      ...(subset.notReadyAddresses && { notReady: subset.notReadyAddresses.map(({ ip }) => ip) }),
      ...(subset.ports && {
        ports: subset.ports.map(({ name, port, protocol }) => `${name ?? ""} ${port}/${protocol}`.trim()),
      }),
    }));
  },
}));

function podOf({
  name,
  ip,
  ready = true,
  phase = "Running",
  deleting,
  namespace = "default",
  labels,
  ports,
}: PodCase): Pod {
  return {
    metadata: {
      name,
      namespace,
      labels: labels ?? { app: "web" },
      ...(deleting && { deletionTimestamp: "2026-01-01T00:00:00Z" }),
    },
    spec: { containers: [{ name: "c", ...(ports && { ports }) }] },
    status: {
      phase,
      ...(ip !== undefined && { podIP: ip }),
      conditions: [{ type: "Ready", status: ready ? "True" : "False" }],
    },
  };
}
