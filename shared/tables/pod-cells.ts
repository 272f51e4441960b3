import { childOf, itemsOf, numberOf, textOf, type Json, type JsonObject } from "#shared/json";
import { ageSince } from "./age.ts";

const none = "<none>";

/**
 * READY, STATUS, RESTARTS, AGE, IP, NODE, NOMINATED NODE, READINESS GATES of a pod, as `printPod` of
 * pkg/printers/internalversion/printers.go: the reason of the pod, then of init containers, then of containers from the last
 * to the first, each overrides the one before.
 */
export function podCells(pod: JsonObject, nowMs: number): Json[] {
  const spec = childOf(pod, "spec");
  const status = childOf(pod, "status");
  const summary = summarize(pod);
  const total = itemsOf(spec, "containers").length + [...sidecarsOf(spec)].length;
  return [
    `${summary.ready}/${total}`,
    summary.reason,
    restartsText(summary, nowMs),
    ageSince(childOf(pod, "metadata")?.creationTimestamp, nowMs),
    textOf(status, "podIP") || textOf(itemsOf(status, "podIPs")[0], "ip") || none,
    textOf(spec, "nodeName") || none,
    textOf(status, "nominatedNodeName") || none,
    gatesText(spec, status),
  ];
}

interface Summary {
  reason: string;
  ready: number;
  restarts: number;
  /** Milliseconds of the latest restart; NaN when none is known. */
  restartedAt: number;
}

function summarize(pod: JsonObject): Summary {
  const status = childOf(pod, "status");
  const summary: Summary = {
    reason: textOf(status, "reason") || textOf(status, "phase"),
    ready: 0,
    restarts: 0,
    restartedAt: Number.NaN,
  };
  if (conditionOf(status, "PodScheduled")?.reason === "SchedulingGated") summary.reason = "SchedulingGated";
  const initializing = readInit(pod, summary);
  if (!initializing || conditionOf(status, "Initialized")?.status === "True") readContainers(status, summary);
  return withDeletion(pod, summary);
}

function withDeletion(pod: JsonObject, summary: Summary): Summary {
  const status = childOf(pod, "status");
  if (textOf(childOf(pod, "metadata"), "deletionTimestamp") === "") return summary;
  if (status?.reason === "NodeLost") return { ...summary, reason: "Unknown" };
  const phase = textOf(status, "phase");
  return phase === "Succeeded" || phase === "Failed" ? summary : { ...summary, reason: "Terminating" };
}

/** Whether init containers have not finished; the summary gets the reason of the first one. */
function readInit(pod: JsonObject, summary: Summary): boolean {
  const spec = childOf(pod, "spec");
  const sidecars = sidecarsOf(spec);
  for (const [index, container] of itemsOf(childOf(pod, "status"), "initContainerStatuses").entries()) {
    countRestarts(container, summary);
    const terminated = childOf(childOf(container, "state"), "terminated");
    if (terminated !== undefined && (numberOf(terminated, "exitCode") ?? 0) === 0) continue;
    if (sidecars.has(textOf(container, "name")) && container.started === true) {
      if (container.ready === true) summary.ready += 1;
      continue;
    }
    summary.reason = initReason(container, `${index}/${itemsOf(spec, "initContainers").length}`);
    return true;
  }
  return false;
}

function initReason(container: JsonObject, progress: string): string {
  const state = childOf(container, "state");
  const terminated = childOf(state, "terminated");
  if (terminated !== undefined) return `Init:${endReason(terminated)}`;
  const waiting = textOf(childOf(state, "waiting"), "reason");
  return waiting !== "" && waiting !== "PodInitializing" ? `Init:${waiting}` : `Init:${progress}`;
}

function readContainers(status: JsonObject | undefined, summary: Summary): void {
  summary.restarts = 0;
  summary.restartedAt = Number.NaN;
  let running = false;
  for (const container of itemsOf(status, "containerStatuses").toReversed()) {
    countRestarts(container, summary);
    const state = childOf(container, "state");
    const waiting = textOf(childOf(state, "waiting"), "reason");
    const terminated = childOf(state, "terminated");
    if (waiting !== "") summary.reason = waiting;
    else if (terminated !== undefined) summary.reason = endReason(terminated);
    else if (container.ready === true && childOf(state, "running") !== undefined) {
      running = true;
      summary.ready += 1;
    }
  }
  if (summary.reason === "Completed" && running)
    summary.reason = conditionOf(status, "Ready")?.status === "True" ? "Running" : "NotReady";
}

function endReason(terminated: JsonObject): string {
  const reason = textOf(terminated, "reason");
  if (reason !== "") return reason;
  const signal = numberOf(terminated, "signal") ?? 0;
  return signal === 0 ? `ExitCode:${numberOf(terminated, "exitCode") ?? 0}` : `Signal:${signal}`;
}

function countRestarts(container: JsonObject, summary: Summary): void {
  summary.restarts += numberOf(container, "restartCount") ?? 0;
  const ended = Date.parse(textOf(childOf(childOf(container, "lastState"), "terminated"), "finishedAt"));
  if (!Number.isNaN(ended) && !(summary.restartedAt >= ended)) summary.restartedAt = ended;
}

function restartsText({ restarts, restartedAt }: Summary, nowMs: number): string {
  if (restarts === 0 || Number.isNaN(restartedAt)) return String(restarts);
  return `${restarts} (${ageSince(new Date(restartedAt).toISOString(), nowMs)} ago)`;
}

function gatesText(spec: JsonObject | undefined, status: JsonObject | undefined): string {
  const gates = itemsOf(spec, "readinessGates");
  if (gates.length === 0) return none;
  const open = gates.filter(
    (gate) => conditionOf(status, textOf(gate, "conditionType"))?.status === "True",
  ).length;
  return `${open}/${gates.length}`;
}

function sidecarsOf(spec: JsonObject | undefined): Set<string> {
  const always = itemsOf(spec, "initContainers").filter((container) => container.restartPolicy === "Always");
  return new Set(always.map((container) => textOf(container, "name")));
}

/** The condition of a type, if there is one. */
export function conditionOf(status: JsonObject | undefined, type: string): JsonObject | undefined {
  return itemsOf(status, "conditions").find((condition) => condition.type === type);
}
