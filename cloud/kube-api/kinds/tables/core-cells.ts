import {
  childOf,
  itemsOf,
  numberOf,
  textMapOf,
  textOf,
  textsOf,
  type Json,
  type JsonObject,
} from "#shared/json";
import { mapText } from "./workload-cells.ts";
import { ageSince, conditionOf } from "#shared/tables";

type Cells = (object: JsonObject, nowMs: number) => Json[];

const none = "<none>";
const rolePrefix = "node-role.kubernetes.io/";

/** Age of an object by its creationTimestamp. */
export function ageOf(object: JsonObject, nowMs: number): string {
  return ageSince(childOf(object, "metadata")?.creationTimestamp, nowMs);
}

export const nodeCells: Cells = (node, nowMs) => {
  const status = childOf(node, "status");
  const info = childOf(status, "nodeInfo");
  return [
    nodeStatus(node),
    nodeRoles(textMapOf(childOf(node, "metadata"), "labels")),
    ageOf(node, nowMs),
    textOf(info, "kubeletVersion"),
    addressOf(status, "InternalIP"),
    addressOf(status, "ExternalIP"),
    textOf(info, "osImage") || "<unknown>",
    textOf(info, "kernelVersion") || "<unknown>",
    textOf(info, "containerRuntimeVersion") || "<unknown>",
  ];
};

function nodeStatus(node: JsonObject): string {
  const ready = conditionOf(childOf(node, "status"), "Ready");
  const state = ready === undefined ? "Unknown" : ready.status === "True" ? "Ready" : "NotReady";
  return childOf(node, "spec")?.unschedulable === true ? `${state},SchedulingDisabled` : state;
}

function nodeRoles(labels: Record<string, string>): string {
  const roles = new Set<string>();
  for (const [key, value] of Object.entries(labels)) {
    if (key.startsWith(rolePrefix) && key.length > rolePrefix.length) roles.add(key.slice(rolePrefix.length));
    else if (key === "kubernetes.io/role" && value !== "") roles.add(value);
  }
  return roles.size === 0 ? none : [...roles].sort().join(",");
}

function addressOf(status: JsonObject | undefined, type: string): string {
  return (
    textOf(
      itemsOf(status, "addresses").find((address) => address.type === type),
      "address",
    ) || none
  );
}

export const namespaceCells: Cells = (object, nowMs) => [
  textOf(childOf(object, "status"), "phase"),
  ageOf(object, nowMs),
];

export const configMapCells: Cells = (object, nowMs) => [
  sizeOf(object, "data") + sizeOf(object, "binaryData"),
  ageOf(object, nowMs),
];

export const secretCells: Cells = (object, nowMs) => [
  textOf(object, "type"),
  sizeOf(object, "data"),
  ageOf(object, nowMs),
];

function sizeOf(object: JsonObject, field: string): number {
  return Object.keys(childOf(object, field) ?? {}).length;
}

export const serviceAccountCells: Cells = (object, nowMs) => [
  itemsOf(object, "secrets").length,
  ageOf(object, nowMs),
];

export const serviceCells: Cells = (object, nowMs) => {
  const spec = childOf(object, "spec");
  return [
    textOf(spec, "type"),
    textOf(spec, "clusterIP") || none,
    externalAddress(spec, childOf(object, "status")),
    portsText(itemsOf(spec, "ports")),
    ageOf(object, nowMs),
    mapText(textMapOf(spec, "selector")),
  ];
};

function externalAddress(spec: JsonObject | undefined, status: JsonObject | undefined): string {
  const listed = textsOf(spec, "externalIPs");
  if (spec?.type === "ExternalName") return textOf(spec, "externalName");
  if (spec?.type !== "LoadBalancer") return listed.join(",") || none;
  const ingress = itemsOf(childOf(status, "loadBalancer"), "ingress").map(
    (one) => textOf(one, "ip") || textOf(one, "hostname"),
  );
  return [...ingress, ...listed].join(",") || "<pending>";
}

function portsText(ports: readonly JsonObject[]): string {
  const texts = ports.map((port) => {
    const node = numberOf(port, "nodePort") ?? 0;
    return `${numberOf(port, "port") ?? 0}${node === 0 ? "" : `:${node}`}/${textOf(port, "protocol")}`;
  });
  return texts.join(",") || none;
}

export const endpointsCells: Cells = (object, nowMs) => {
  const all = itemsOf(object, "subsets").flatMap((subset) => {
    const ports = itemsOf(subset, "ports").map((port) => `:${numberOf(port, "port") ?? 0}`);
    const ends = ports.length === 0 ? [""] : ports;
    return ends.flatMap((end) =>
      itemsOf(subset, "addresses").map((address) => `${textOf(address, "ip")}${end}`),
    );
  });
  return [firstThree(all) || none, ageOf(object, nowMs)];
};

function firstThree(texts: readonly string[]): string {
  const shown = texts.slice(0, 3).join(",");
  return texts.length > 3 ? `${shown} + ${texts.length - 3} more...` : shown;
}

export const endpointSliceCells: Cells = (object, nowMs) => {
  const ports = itemsOf(object, "ports").map((port) =>
    port.port === undefined ? "*" : String(numberOf(port, "port") ?? 0),
  );
  const ends = itemsOf(object, "endpoints").flatMap((endpoint) => textsOf(endpoint, "addresses"));
  return [
    textOf(object, "addressType"),
    firstThree(ports) || "<unset>",
    firstThree(ends) || "<unset>",
    ageOf(object, nowMs),
  ];
};

export const eventCells: Cells = (event, nowMs) => {
  const about = childOf(event, "involvedObject");
  const first = event.firstTimestamp ?? event.eventTime;
  const series = childOf(event, "series");
  return [
    ageSince(series?.lastObservedTime ?? event.lastTimestamp ?? first, nowMs),
    textOf(event, "type"),
    textOf(event, "reason"),
    about === undefined ? "" : `${textOf(about, "kind").toLowerCase()}/${textOf(about, "name")}`,
    textOf(about, "fieldPath"),
    eventSource(event),
    textOf(event, "message").trim(),
    ageSince(first, nowMs),
    numberOf(series, "count") ?? numberOf(event, "count") ?? 1,
    textOf(childOf(event, "metadata"), "name"),
  ];
};

function eventSource(event: JsonObject): string {
  const source = childOf(event, "source");
  const component = textOf(source, "component") || textOf(event, "reportingComponent");
  const host = textOf(source, "host");
  return host === "" ? component : `${component}, ${host}`;
}

export const leaseCells: Cells = (object, nowMs) => [
  textOf(childOf(object, "spec"), "holderIdentity"),
  ageOf(object, nowMs),
];

const shortModes: Record<string, string> = {
  ReadWriteOnce: "RWO",
  ReadOnlyMany: "ROX",
  ReadWriteMany: "RWX",
  ReadWriteOncePod: "RWOP",
};

function modesText(owner: JsonObject | undefined): string {
  return textsOf(owner, "accessModes")
    .map((mode) => shortModes[mode] ?? mode)
    .join(",");
}

export const persistentVolumeCells: Cells = (object, nowMs) => {
  const spec = childOf(object, "spec");
  const status = childOf(object, "status");
  const claim = childOf(spec, "claimRef");
  const phase = textOf(status, "phase");
  return [
    textOf(childOf(spec, "capacity"), "storage"),
    modesText(spec),
    textOf(spec, "persistentVolumeReclaimPolicy"),
    textOf(childOf(object, "metadata"), "deletionTimestamp") === "" ? phase : "Terminating",
    claim === undefined ? "" : `${textOf(claim, "namespace")}/${textOf(claim, "name")}`,
    textOf(spec, "storageClassName"),
    textOf(status, "reason"),
    ageOf(object, nowMs),
    textOf(spec, "volumeMode") || "<unset>",
  ];
};

export const claimCells: Cells = (object, nowMs) => {
  const spec = childOf(object, "spec");
  const status = childOf(object, "status");
  const volume = textOf(spec, "volumeName");
  const deleting = textOf(childOf(object, "metadata"), "deletionTimestamp") !== "";
  return [
    deleting ? "Terminating" : textOf(status, "phase"),
    volume,
    volume === "" ? "" : textOf(childOf(status, "capacity"), "storage"),
    volume === "" ? "" : modesText(status),
    textOf(spec, "storageClassName"),
    ageOf(object, nowMs),
    textOf(spec, "volumeMode") || "<unset>",
  ];
};

export const roleBindingCells: Cells = (object, nowMs) => {
  const ref = childOf(object, "roleRef");
  const subjects = (kind: string): string =>
    itemsOf(object, "subjects")
      .filter((subject) => subject.kind === kind)
      .map((subject) =>
        kind === "ServiceAccount"
          ? `${textOf(subject, "namespace")}/${textOf(subject, "name")}`
          : textOf(subject, "name"),
      )
      .join(", ");
  const role = `${textOf(ref, "kind")}/${textOf(ref, "name")}`;
  return [role, ageOf(object, nowMs), subjects("User"), subjects("Group"), subjects("ServiceAccount")];
};

export const disruptionBudgetCells: Cells = (object, nowMs) => {
  const spec = childOf(object, "spec");
  const part = (value: Json | undefined): string =>
    typeof value === "string" || typeof value === "number" ? `${value}` : "N/A";
  return [
    part(spec?.minAvailable),
    part(spec?.maxUnavailable),
    numberOf(childOf(object, "status"), "disruptionsAllowed") ?? 0,
    ageOf(object, nowMs),
  ];
};

export const priorityClassCells: Cells = (object, nowMs) => [
  numberOf(object, "value") ?? 0,
  object.globalDefault === true,
  ageOf(object, nowMs),
];

export const resourceQuotaCells: Cells = (object, nowMs) => {
  const status = childOf(object, "status");
  const used = childOf(status, "used");
  const texts = Object.entries(textMapOf(status, "hard")).map(([name, hard]) => ({
    limit: name.startsWith("limits."),
    text: `${name}: ${textOf(used, name) || "0"}/${hard}`,
  }));
  const join = (limit: boolean): string =>
    texts
      .filter((one) => one.limit === limit)
      .map((one) => one.text)
      .join(", ");
  return [ageOf(object, nowMs), join(false), join(true)];
};
