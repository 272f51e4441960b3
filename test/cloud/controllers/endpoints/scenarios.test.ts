import { join } from "node:path";
import { mirrorOf, slicesOf, type SliceContent } from "#internal/cloud/controllers/endpoints/slices.ts";
import {
  selectsPod,
  subsetsOf,
  type Service,
  type Subset,
} from "#internal/cloud/controllers/endpoints/subsets.ts";
import { runScenarios, type ScenarioBlock } from "#internal/test/support/scenario/scenario.ts";
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

/**
 * `endpoints` and `slices`: the first document is the spec of a Service that selects app=web, the others are pods. `mirror`: the
 * documents are subsets of Endpoints.
 */
runScenarios(join(import.meta.dir, "scenarios"), () => ({
  slices: (block: ScenarioBlock) => {
    const { service, selected } = given(block);
    return slicesOf(service, selected).map(shownSlice);
  },
  // The cases are ours: a field of the wrong type fails its case.
  mirror: ({ input }: ScenarioBlock) => mirrorOf(input as unknown as Subset[]).map(shownSlice),
  endpoints: (block: ScenarioBlock) => {
    const { service, selected } = given(block);
    return subsetsOf(service, selected).map((subset) => ({
      ...(subset.addresses && { ready: subset.addresses.map(({ ip }) => ip) }),
      ...(subset.notReadyAddresses && { notReady: subset.notReadyAddresses.map(({ ip }) => ip) }),
      ...(subset.ports && {
        ports: subset.ports.map(({ name, port, protocol }) => `${name ?? ""} ${port}/${protocol}`.trim()),
      }),
    }));
  },
}));

function given({ input: [spec, ...pods] }: ScenarioBlock): { service: Service; selected: Pod[] } {
  // The cases are ours: a field of the wrong type fails its case.
  const wanted = { selector: { app: "web" }, ...(spec as Service["spec"]) };
  const service: Service = { metadata: { name: "web", namespace: "default" }, spec: wanted };
  const selected = pods
    .map((pod) => podOf(pod as unknown as PodCase))
    .filter((pod) => selectsPod(service, pod));
  return { service, selected };
}

function shownSlice({ addressType, ports, endpoints }: SliceContent): object {
  return {
    type: addressType,
    ports: ports.map(({ name, port, protocol }) => `${name} ${port}/${protocol}`.trim()),
    endpoints: endpoints.map(({ addresses, conditions }) =>
      `${addresses.join(",")} ${Object.entries(conditions)
        .filter(([, holds]) => holds)
        .map(([name]) => name)
        .join(" ")}`.trim(),
    ),
  };
}

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
