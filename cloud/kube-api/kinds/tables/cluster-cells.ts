import { formatLabelSelector } from "#shared/kube";
import { labelSelectorOf } from "#cloud/kube-api/kinds/validation";
import { childOf, itemsOf, numberOf, textOf, textsOf, type Json, type JsonObject } from "#shared/json";
import { ageOf } from "./core-cells.ts";

/** Cells of the kinds of networking, storage, certificates, autoscaling and of the API's own rules. */
type Cells = (object: JsonObject, nowMs: number) => Json[];

const none = "<none>";

function flag(owner: JsonObject | undefined, field: string): boolean {
  return owner?.[field] === true;
}

export const ingressCells: Cells = (object, nowMs) => {
  const spec = childOf(object, "spec");
  const hosts = itemsOf(spec, "rules").map((rule) => textOf(rule, "host") || "*");
  const addresses = itemsOf(childOf(childOf(object, "status"), "loadBalancer"), "ingress").map(
    (one) => textOf(one, "ip") || textOf(one, "hostname"),
  );
  return [
    textOf(spec, "ingressClassName") || none,
    hosts.length === 0
      ? "*"
      : hosts.slice(0, 3).join(",") + (hosts.length > 3 ? ` + ${hosts.length - 3} more...` : ""),
    addresses.join(","),
    itemsOf(spec, "tls").length > 0 ? "80, 443" : "80",
    ageOf(object, nowMs),
  ];
};

export const ingressClassCells: Cells = (object, nowMs) => {
  const spec = childOf(object, "spec");
  const parameters = childOf(spec, "parameters");
  const group = textOf(parameters, "apiGroup");
  const kind = textOf(parameters, "kind");
  return [
    textOf(spec, "controller"),
    parameters ? `${group === "" ? kind : `${kind}.${group}`}/${textOf(parameters, "name")}` : none,
    ageOf(object, nowMs),
  ];
};

export const networkPolicyCells: Cells = (object, nowMs) => [
  formatLabelSelector(labelSelectorOf(childOf(childOf(object, "spec"), "podSelector"))) || none,
  ageOf(object, nowMs),
];

export const runtimeClassCells: Cells = (object, nowMs) => [textOf(object, "handler"), ageOf(object, nowMs)];

export const storageClassCells: Cells = (object, nowMs) => [
  textOf(object, "provisioner"),
  textOf(object, "reclaimPolicy"),
  textOf(object, "volumeBindingMode"),
  flag(object, "allowVolumeExpansion"),
  ageOf(object, nowMs),
];

export const csiDriverCells: Cells = (object, nowMs) => {
  const spec = childOf(object, "spec");
  const audiences = itemsOf(spec, "tokenRequests").map((one) => textOf(one, "audience"));
  return [
    flag(spec, "attachRequired"),
    flag(spec, "podInfoOnMount"),
    flag(spec, "storageCapacity"),
    audiences.join(",") || "<unset>",
    flag(spec, "requiresRepublish"),
    textsOf(spec, "volumeLifecycleModes").join(",") || none,
    ageOf(object, nowMs),
  ];
};

export const csiNodeCells: Cells = (object, nowMs) => [
  itemsOf(childOf(object, "spec"), "drivers").length,
  ageOf(object, nowMs),
];

export const storageCapacityCells: Cells = (object, nowMs) => [
  textOf(object, "storageClassName"),
  textOf(object, "capacity"),
  ageOf(object, nowMs),
];

export const volumeAttachmentCells: Cells = (object, nowMs) => {
  const spec = childOf(object, "spec");
  return [
    textOf(spec, "attacher"),
    textOf(childOf(spec, "source"), "persistentVolumeName"),
    textOf(spec, "nodeName"),
    flag(childOf(object, "status"), "attached"),
    ageOf(object, nowMs),
  ];
};

export const apiServiceCells: Cells = (object, nowMs) => {
  const service = childOf(childOf(object, "spec"), "service");
  const conditions = itemsOf(childOf(object, "status"), "conditions");
  const available = conditions.find((one) => one.type === "Available");
  const status = textOf(available, "status") || "Unknown";
  return [
    service ? `${textOf(service, "namespace")}/${textOf(service, "name")}` : "Local",
    status === "True" || !available ? status : `${status} (${textOf(available, "reason")})`,
    ageOf(object, nowMs),
  ];
};

export const signingRequestCells: Cells = (object, nowMs) => {
  const spec = childOf(object, "spec");
  const seconds = numberOf(spec, "expirationSeconds");
  return [
    ageOf(object, nowMs),
    textOf(spec, "signerName") || none,
    textOf(spec, "username"),
    seconds === undefined ? none : `${seconds}s`,
    signingState(childOf(object, "status")),
  ];
};

function signingState(status: JsonObject | undefined): string {
  const types = itemsOf(status, "conditions").map((one) => textOf(one, "type"));
  const states = ["Denied", "Approved", "Failed"].filter((state) => types.includes(state));
  if (textOf(status, "certificate") !== "") states.push("Issued");
  return states.length === 0 ? "Pending" : states.join(",");
}

export const flowSchemaCells: Cells = (object, nowMs) => {
  const spec = childOf(object, "spec");
  const dangling = itemsOf(childOf(object, "status"), "conditions").find((one) => one.type === "Dangling");
  return [
    textOf(childOf(spec, "priorityLevelConfiguration"), "name"),
    numberOf(spec, "matchingPrecedence") ?? 0,
    textOf(childOf(spec, "distinguisherMethod"), "type") || none,
    ageOf(object, nowMs),
    textOf(dangling, "status") || "?",
  ];
};

export const priorityLevelCells: Cells = (object, nowMs) => {
  const spec = childOf(object, "spec");
  const limited = childOf(spec, "limited");
  const queuing = childOf(childOf(limited, "limitResponse"), "queuing");
  const shown = (owner: JsonObject | undefined, field: string): Json => numberOf(owner, field) ?? none;
  return [
    textOf(spec, "type"),
    shown(limited, "nominalConcurrencyShares"),
    shown(queuing, "queues"),
    shown(queuing, "handSize"),
    shown(queuing, "queueLengthLimit"),
    ageOf(object, nowMs),
  ];
};

export const autoscalerCells: Cells = (object, nowMs) => {
  const spec = childOf(object, "spec");
  const status = childOf(object, "status");
  const target = childOf(spec, "scaleTargetRef");
  return [
    `${textOf(target, "kind")}/${textOf(target, "name")}`,
    targetsText(itemsOf(spec, "metrics"), itemsOf(status, "currentMetrics")),
    String(numberOf(spec, "minReplicas") ?? "<unset>"),
    numberOf(spec, "maxReplicas") ?? 0,
    numberOf(status, "currentReplicas") ?? 0,
    ageOf(object, nowMs),
  ];
};

/** Metrics of a row: `kubectl describe` shows the others. */
const shownMetrics = 2;

function targetsText(metrics: readonly JsonObject[], current: readonly JsonObject[]): string {
  if (metrics.length === 0) return none;
  const texts = metrics
    .slice(0, shownMetrics)
    .map(
      (metric, index) =>
        `${amountOf(metric, current[index], "current")}/${amountOf(metric, metric, "target")}`,
    );
  const more = metrics.length > shownMetrics ? ` + ${metrics.length - shownMetrics} more...` : "";
  return texts.join(", ") + more;
}

function amountOf(metric: JsonObject, from: JsonObject | undefined, field: "current" | "target"): string {
  const type = textOf(metric, "type");
  const value = childOf(childOf(from, type.charAt(0).toLowerCase() + type.slice(1)), field);
  const percent = numberOf(value, "averageUtilization");
  if (percent !== undefined) return `${percent}%`;
  const average = textOf(value, "averageValue");
  if (average !== "") return type === "Resource" || type === "Pods" ? average : `${average} (avg)`;
  return textOf(value, "value") || "<unknown>";
}

export const webhookCells: Cells = (object, nowMs) => [
  itemsOf(object, "webhooks").length,
  ageOf(object, nowMs),
];

export const admissionPolicyCells: Cells = (object, nowMs) => {
  const spec = childOf(object, "spec");
  const kind = childOf(spec, "paramKind");
  return [
    itemsOf(spec, "validations").length,
    kind ? `${textOf(kind, "apiVersion")}/${textOf(kind, "kind")}` : "<unset>",
    ageOf(object, nowMs),
  ];
};

export const policyBindingCells: Cells = (object, nowMs) => {
  const spec = childOf(object, "spec");
  const ref = childOf(spec, "paramRef");
  const name = textOf(ref, "name") || "*";
  return [
    textOf(spec, "policyName"),
    ref ? [textOf(ref, "namespace"), name].filter((part) => part !== "").join("/") : "<unset>",
    ageOf(object, nowMs),
  ];
};
