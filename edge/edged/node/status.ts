import { rfc3339 } from "#shared/clock";
import { edgeNodeLabel, type Condition, type Node, type NodeStatus, type Taint } from "#shared/kube";
import type { Machine } from "./machine.ts";
import type { NodeResources } from "./resources.ts";

export interface NodeInput {
  readonly nodeName: string;
  readonly address: string;
  readonly machine: Machine;
  readonly resources: NodeResources;
  /** What the node runs short of: types of conditions that are True, e.g. "MemoryPressure". */
  readonly pressures: readonly string[];
  /** Why no container can be run now; undefined when the engine answers and has nothing against it. */
  readonly engineProblem: { readonly reason: string; readonly message: string } | undefined;
  /** Whether the cloud has another database than this node knows; undefined when it never had. */
  readonly cloudDatabase?: { readonly held: boolean; readonly message: string } | undefined;
  /** e.g. "docker://20.10.24" */
  readonly engineVersion: string;
  readonly kubeletVersion: string;
  readonly kubeletPort: number;
  readonly images: readonly { readonly names: readonly string[]; readonly sizeBytes: number }[];
  readonly previous: NodeStatus | undefined;
  readonly nowMs: number;
}

/** What the operator configured for a new Node. */
export interface NodeWanted {
  readonly labels: Readonly<Record<string, string>>;
  readonly taints: readonly (Omit<Taint, "value"> & { readonly value?: string | undefined })[];
  readonly registerSchedulable: boolean;
}

/** kubelet: nodeStatusMaxImages, and five names of each (MaxNamesPerImageInNodeStatus): a Node object stays small. */
const mostImages = 50;
const mostNames = 5;

/** The Node as KubeEdge's edgecore registers it. */
export function newNode(input: NodeInput, wanted: NodeWanted): Node {
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: {
      name: input.nodeName,
      labels: { ...nodeLabels(input), ...wanted.labels },
      annotations: { "volumes.kubernetes.io/controller-managed-attach-detach": "true" },
    },
    spec: {
      ...(wanted.taints.length > 0
        ? { taints: wanted.taints.map(({ value = "", ...rest }) => ({ ...rest, value })) }
        : {}),
      ...(wanted.registerSchedulable ? {} : { unschedulable: true }),
    },
    status: nodeStatus(input),
  };
}

/** Labels of kubelet, and those by which KubeEdge finds edge nodes. */
export function nodeLabels({
  nodeName,
  machine,
}: Pick<NodeInput, "nodeName" | "machine">): Record<string, string> {
  return {
    "beta.kubernetes.io/arch": machine.architecture,
    "beta.kubernetes.io/os": "linux",
    "kubernetes.io/arch": machine.architecture,
    "kubernetes.io/hostname": nodeName,
    "kubernetes.io/os": "linux",
    "node-role.kubernetes.io/agent": "",
    [edgeNodeLabel]: "",
  };
}

/** The status as kubelet computes it; times of conditions that did not change are those of `previous`. */
export function nodeStatus(input: NodeInput): NodeStatus {
  const { machine } = input;
  return {
    capacity: { ...input.resources.capacity },
    allocatable: { ...input.resources.allocatable },
    conditions: conditionsOf(input),
    addresses: [
      { type: "InternalIP", address: input.address },
      { type: "Hostname", address: input.nodeName },
    ],
    daemonEndpoints: { kubeletEndpoint: { Port: input.kubeletPort } },
    nodeInfo: {
      machineID: machine.machineId,
      systemUUID: machine.systemUuid,
      bootID: machine.bootId,
      kernelVersion: machine.kernelVersion,
      osImage: machine.osImage,
      containerRuntimeVersion: input.engineVersion,
      kubeletVersion: input.kubeletVersion,
      kubeProxyVersion: input.kubeletVersion,
      operatingSystem: "linux",
      architecture: machine.architecture,
    },
    images: [...input.images]
      .sort((a, b) => b.sizeBytes - a.sizeBytes)
      .slice(0, mostImages)
      .map(({ names, sizeBytes }) => ({ names: names.slice(0, mostNames), sizeBytes })),
  };
}

function conditionsOf(input: NodeInput): Condition[] {
  const { pressures, engineProblem } = input;
  const conditions: Condition[] = [
    pressure("MemoryPressure", pressures, [
      "KubeletHasInsufficientMemory",
      "KubeletHasSufficientMemory",
      "memory",
    ]),
    pressure("DiskPressure", pressures, ["KubeletHasDiskPressure", "KubeletHasNoDiskPressure", "disk"]),
    pressure("PIDPressure", pressures, ["KubeletHasInsufficientPID", "KubeletHasSufficientPID", "PID"]),
    engineProblem
      ? { type: "Ready", status: "False", ...engineProblem }
      : { type: "Ready", status: "True", reason: "EdgeReady", message: "edge is posting ready status" },
  ];
  if (input.cloudDatabase) conditions.push(databaseCondition(input.cloudDatabase));
  const now = rfc3339(input.nowMs);
  return conditions.map((one) => {
    const before = input.previous?.conditions?.find(({ type }) => type === one.type);
    const since = before?.status === one.status ? before.lastTransitionTime : undefined;
    return { ...one, lastHeartbeatTime: now, lastTransitionTime: since ?? now };
  });
}

function databaseCondition(database: { readonly held: boolean; readonly message: string }): Condition {
  const { held, message } = database;
  const reason = held ? "CloudDatabaseChanged" : "CloudDatabaseKnown";
  return { type: "CloudDatabaseChanged", status: held ? "True" : "False", reason, message };
}

function pressure(
  type: string,
  pressures: readonly string[],
  [low, fine, what]: readonly [string, string, string],
): Condition {
  const isLow = pressures.includes(type);
  if (type === "DiskPressure") {
    const message = isLow ? "kubelet has disk pressure" : "kubelet has no disk pressure";
    return { type, status: isLow ? "True" : "False", reason: isLow ? low : fine, message };
  }
  const message = `kubelet has ${isLow ? "insufficient" : "sufficient"} ${what} available`;
  return { type, status: isLow ? "True" : "False", reason: isLow ? low : fine, message };
}
