import { childOf, itemsOf, textMapOf, textOf, type Json, type JsonObject } from "#shared/json";
import { ageSince, conditionOf, podCells } from "#shared/tables";
import type { HeldKind } from "#edge/meta-server/objects";

interface Column {
  readonly name: string;
  /** Not without `-o wide`. */
  readonly wide?: boolean;
  readonly cell: (object: JsonObject, nowMs: number) => Json;
}

const none = "<none>";
const column = (name: string, cell: Column["cell"], wide = false): Column => ({ name, cell, wide });
const age = column("Age", (object, nowMs) =>
  ageSince(childOf(object, "metadata")?.["creationTimestamp"], nowMs),
);
const ofSpec = (name: string, field: string): Column =>
  column(name, (object) => textOf(childOf(object, "spec"), field) || none);
const sizeOf = (object: JsonObject, field: string): number =>
  Object.keys(childOf(object, field) ?? {}).length;

const podNames = ["Ready", "Status", "Restarts", "Age", "IP", "Node", "Nominated Node", "Readiness Gates"];
/** The columns after the name, as kubectl shows them of the API itself. */
const columns: Readonly<Record<string, readonly Column[]>> = {
  pod: podNames.map((name, index) =>
    column(name, (pod, nowMs) => podCells(pod, nowMs)[index] ?? null, index > 3),
  ),
  configmap: [column("Data", (object) => sizeOf(object, "data") + sizeOf(object, "binaryData")), age],
  secret: [
    column("Type", (object) => textOf(object, "type")),
    column("Data", (object) => sizeOf(object, "data")),
    age,
  ],
  node: [
    column("Status", (node) => statusOfNode(node)),
    column("Roles", (node) => rolesOfNode(node)),
    age,
    column("Version", (node) => textOf(nodeInfo(node), "kubeletVersion")),
    column("Internal-IP", (node) => addressOf(node) || none, true),
    column("OS-Image", (node) => textOf(nodeInfo(node), "osImage"), true),
    column("Kernel-Version", (node) => textOf(nodeInfo(node), "kernelVersion"), true),
    column("Container-Runtime", (node) => textOf(nodeInfo(node), "containerRuntimeVersion"), true),
  ],
  service: [ofSpec("Type", "type"), ofSpec("Cluster-IP", "clusterIP"), age],
  rule: [ofSpec("Source", "source"), ofSpec("Target", "target"), age],
  ruleendpoint: [ofSpec("Type", "ruleEndpointType"), age],
};

/** Columns of a kind as a Table has them. */
export function columnDefinitions(kind: HeldKind): JsonObject[] {
  const named = {
    name: "Name",
    type: "string",
    format: "name",
    description: "Name of the object",
    priority: 0,
  };
  const others = columnsOf(kind).map(({ name, wide }) => ({
    name,
    type: name === "Data" ? "integer" : "string",
    format: "",
    description: name,
    priority: wide === true ? 1 : 0,
  }));
  return [named, ...others];
}

/** One row of a Table. */
export function tableRow(kind: HeldKind, object: JsonObject, nowMs: number): JsonObject {
  const metadata = childOf(object, "metadata") ?? {};
  return {
    cells: [textOf(metadata, "name"), ...columnsOf(kind).map(({ cell }) => cell(object, nowMs))],
    object: { kind: "PartialObjectMetadata", apiVersion: "meta.k8s.io/v1", metadata },
  };
}

function columnsOf(kind: HeldKind): readonly Column[] {
  return columns[kind.type] ?? [age];
}

function nodeInfo(node: JsonObject): JsonObject | undefined {
  return childOf(childOf(node, "status"), "nodeInfo");
}

function statusOfNode(node: JsonObject): string {
  const ready = conditionOf(childOf(node, "status"), "Ready")?.["status"];
  const text = ready === undefined ? "Unknown" : ready === "True" ? "Ready" : "NotReady";
  return childOf(node, "spec")?.["unschedulable"] === true ? `${text},SchedulingDisabled` : text;
}

function rolesOfNode(node: JsonObject): string {
  const prefix = "node-role.kubernetes.io/";
  const labels = Object.keys(textMapOf(childOf(node, "metadata"), "labels"));
  const roles = labels.filter((key) => key.startsWith(prefix)).map((key) => key.slice(prefix.length));
  return roles.sort().join(",") || none;
}

function addressOf(node: JsonObject): string {
  const addresses = itemsOf(childOf(node, "status"), "addresses");
  return textOf(
    addresses.find(({ type }) => type === "InternalIP"),
    "address",
  );
}
