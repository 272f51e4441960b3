import { labelSelectorOf } from "#cloud/kube-api/kinds/validation";
import { childOf, itemsOf, numberOf, textMapOf, textOf, type Json, type JsonObject } from "#shared/json";
import { formatLabelSelector } from "#shared/kube";
import { ageSince, humanDuration } from "#shared/tables";

type Cells = (object: JsonObject, nowMs: number) => Json[];

function ageOf(object: JsonObject, nowMs: number): string {
  return ageSince(childOf(object, "metadata")?.creationTimestamp, nowMs);
}

function count(owner: JsonObject | undefined, field: string): number {
  return numberOf(owner, field) ?? 0;
}

/** Names and images of a template's containers. */
export function templateCells(template: JsonObject | undefined): [string, string] {
  const containers = itemsOf(childOf(template, "spec"), "containers");
  return [
    containers.map((container) => textOf(container, "name")).join(","),
    containers.map((container) => textOf(container, "image")).join(","),
  ];
}

function parts(object: JsonObject): {
  spec: JsonObject | undefined;
  status: JsonObject | undefined;
  template: [string, string];
} {
  const spec = childOf(object, "spec");
  return { spec, status: childOf(object, "status"), template: templateCells(childOf(spec, "template")) };
}

function selectorOf(spec: JsonObject | undefined): string {
  return formatLabelSelector(labelSelectorOf(childOf(spec, "selector"))) || "<none>";
}

/** Labels or a selector as `a=b,c=d`, sorted; "<none>" without any. */
export function mapText(map: Record<string, string>): string {
  const texts = Object.entries(map).map(([key, value]) => `${key}=${value}`);
  return texts.length === 0 ? "<none>" : texts.sort().join(",");
}

export const deploymentCells: Cells = (object, nowMs) => {
  const { spec, status, template } = parts(object);
  return [
    `${count(status, "readyReplicas")}/${count(spec, "replicas")}`,
    count(status, "updatedReplicas"),
    count(status, "availableReplicas"),
    ageOf(object, nowMs),
    ...template,
    selectorOf(spec),
  ];
};

export const replicaSetCells: Cells = (object, nowMs) => {
  const { spec, status, template } = parts(object);
  return [
    count(spec, "replicas"),
    count(status, "replicas"),
    count(status, "readyReplicas"),
    ageOf(object, nowMs),
    ...template,
    selectorOf(spec),
  ];
};

export const replicationControllerCells: Cells = (object, nowMs) => {
  const { spec, status, template } = parts(object);
  const selector = mapText(textMapOf(spec, "selector"));
  return [
    count(spec, "replicas"),
    count(status, "replicas"),
    count(status, "readyReplicas"),
    ageOf(object, nowMs),
    ...template,
    selector,
  ];
};

export const daemonSetCells: Cells = (object, nowMs) => {
  const { spec, status, template } = parts(object);
  return [
    count(status, "desiredNumberScheduled"),
    count(status, "currentNumberScheduled"),
    count(status, "numberReady"),
    count(status, "updatedNumberScheduled"),
    count(status, "numberAvailable"),
    mapText(textMapOf(childOf(childOf(spec, "template"), "spec"), "nodeSelector")),
    ageOf(object, nowMs),
    ...template,
    selectorOf(spec),
  ];
};

export const statefulSetCells: Cells = (object, nowMs) => {
  const { spec, status, template } = parts(object);
  return [`${count(status, "readyReplicas")}/${count(spec, "replicas")}`, ageOf(object, nowMs), ...template];
};

export const jobCells: Cells = (object, nowMs) => {
  const { spec, status, template } = parts(object);
  const start = textOf(status, "startTime");
  const end = textOf(status, "completionTime");
  const duration =
    start === "" ? "" : humanDuration((end === "" ? nowMs : Date.parse(end)) - Date.parse(start));
  return [completionsText(spec, status), duration, ageOf(object, nowMs), ...template, selectorOf(spec)];
};

function completionsText(spec: JsonObject | undefined, status: JsonObject | undefined): string {
  const done = count(status, "succeeded");
  const wanted = numberOf(spec, "completions");
  if (wanted !== undefined) return `${done}/${wanted}`;
  const parallel = count(spec, "parallelism");
  return parallel > 1 ? `${done}/1 of ${parallel}` : `${done}/1`;
}

export const cronJobCells: Cells = (object, nowMs) => {
  const spec = childOf(object, "spec");
  const status = childOf(object, "status");
  const last = status?.lastScheduleTime;
  const job = childOf(childOf(spec, "jobTemplate"), "spec");
  return [
    textOf(spec, "schedule"),
    spec?.suspend === true ? "True" : "False",
    itemsOf(status, "active").length,
    typeof last === "string" ? ageSince(last, nowMs) : "<none>",
    ageOf(object, nowMs),
    ...templateCells(childOf(job, "template")),
    selectorOf(job),
  ];
};

export const podTemplateCells: Cells = (object) => {
  const template = childOf(object, "template");
  return [...templateCells(template), mapText(textMapOf(childOf(template, "metadata"), "labels"))];
};

export const controllerRevisionCells: Cells = (object, nowMs) => {
  const owner = itemsOf(childOf(object, "metadata"), "ownerReferences").find(
    (one) => one.controller === true,
  );
  const [group = ""] = textOf(owner, "apiVersion").split("/");
  const name =
    owner === undefined
      ? "<none>"
      : `${textOf(owner, "kind").toLowerCase()}.${group}/${textOf(owner, "name")}`;
  return [name, count(object, "revision"), ageOf(object, nowMs)];
};
