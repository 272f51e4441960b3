import { rfc3339 } from "#shared/clock";
import type { Condition } from "#shared/kube";
import { availableOf, limitsOf, membersOf, wanted, type Family } from "./rollout.ts";
import type { Deployment } from "#cloud/controllers/framework";

type Status = NonNullable<Deployment["status"]>;

/** What was done about the new ReplicaSet in this run. */
export type Step = "created" | "found" | undefined;

const noDeadline = 2_147_483_647;
const finished = "NewReplicaSetAvailable";
const late = "ProgressDeadlineExceeded";

export interface NewStatus {
  readonly status: Status;
  /** When the progress deadline passes. */
  readonly againInMs: number | undefined;
}

export function statusOf(
  deployment: Deployment,
  family: Family,
  run: { step: Step; nowMs: number },
): NewStatus {
  const members = membersOf(family);
  const sum = (field: "replicas" | "readyReplicas"): number =>
    members.reduce((total, { status }) => total + (status?.[field] ?? 0), 0);
  const availableReplicas = availableOf(members);
  const replicas = sum("replicas");
  const status: Status = {
    replicas,
    updatedReplicas: family.current?.status?.replicas ?? 0,
    readyReplicas: sum("readyReplicas"),
    availableReplicas,
    unavailableReplicas: Math.max(0, replicas - availableReplicas),
    observedGeneration: deployment.metadata.generation ?? 0,
  };
  const conditions = new Map((deployment.status?.conditions ?? []).map((old) => [old.type, old]));
  put(conditions, available(deployment, availableReplicas), run.nowMs);
  const progress = progressing({ deployment, status, family, ...run }, conditions.get("Progressing"));
  if (!hasDeadline(deployment)) conditions.delete("Progressing");
  else if (progress) put(conditions, progress, run.nowMs);
  status.conditions = [...conditions.values()];
  return { status, againInMs: deadlineIn(deployment, conditions.get("Progressing"), run.nowMs) };
}

export function hasDeadline({ spec }: Deployment): boolean {
  return spec.progressDeadlineSeconds !== undefined && spec.progressDeadlineSeconds !== noDeadline;
}

export function isComplete(deployment: Deployment, status: Status): boolean {
  const count = wanted(deployment);
  return (
    status.updatedReplicas === count &&
    status.replicas === count &&
    status.availableReplicas === count &&
    (status.observedGeneration ?? 0) >= (deployment.metadata.generation ?? 0)
  );
}

type News = Pick<Condition, "type" | "status"> & {
  readonly reason: string;
  readonly message: string;
  readonly touch?: boolean;
};

function available(deployment: Deployment, count: number): News {
  return count >= wanted(deployment) - limitsOf(deployment).unavailable
    ? {
        type: "Available",
        status: "True",
        reason: "MinimumReplicasAvailable",
        message: "Deployment has minimum availability.",
      }
    : {
        type: "Available",
        status: "False",
        reason: "MinimumReplicasUnavailable",
        message: "Deployment does not have minimum availability.",
      };
}

interface Progress {
  readonly deployment: Deployment;
  readonly status: Status;
  readonly family: Family;
  readonly step: Step;
  readonly nowMs: number;
}

/** The news of the rollout, undefined when there are none. */
function progressing(progress: Progress, old: Condition | undefined): News | undefined {
  const { deployment, status, family } = progress;
  const paused = pausing(deployment, old);
  if (paused) return paused;
  const name = family.current?.metadata.name ?? "";
  if (progress.step === "created")
    return told("True", "NewReplicaSetCreated", `Created new replica set "${name}"`, true);
  const isSettled = old?.reason === finished && status.replicas === status.updatedReplicas;
  return deployment.spec.paused || isSettled ? undefined : advance(progress, old, name);
}

function advance(progress: Progress, old: Condition | undefined, name: string): News | undefined {
  const { deployment, status } = progress;
  const subject = name ? `ReplicaSet "${name}"` : `Deployment "${deployment.metadata.name ?? ""}"`;
  if (isComplete(deployment, status))
    return told("True", finished, `${subject} has successfully progressed.`);
  if (hasMoved(deployment.status ?? {}, status))
    return told("True", "ReplicaSetUpdated", `${subject} is progressing.`, true);
  if (isLate(deployment, old, progress.nowMs))
    return told("False", late, `${subject} has timed out progressing.`);
  if (progress.step === "found" && !old)
    return told("True", "FoundNewReplicaSet", `Found new replica set "${name}"`, true);
  return undefined;
}

function pausing({ spec }: Deployment, old: Condition | undefined): News | undefined {
  if (old?.reason === late) return undefined;
  if (spec.paused && old?.reason !== "DeploymentPaused")
    return told("Unknown", "DeploymentPaused", "Deployment is paused", true);
  if (!spec.paused && old?.reason === "DeploymentPaused")
    return told("Unknown", "DeploymentResumed", "Deployment is resumed", true);
  return undefined;
}

function told(status: Condition["status"], reason: string, message: string, touch = false): News {
  return { type: "Progressing", status, reason, message, touch };
}

function hasMoved(old: Status, status: Status): boolean {
  const outdated = (of: Status): number => (of.replicas ?? 0) - (of.updatedReplicas ?? 0);
  return (
    (status.updatedReplicas ?? 0) > (old.updatedReplicas ?? 0) ||
    outdated(status) < outdated(old) ||
    (status.readyReplicas ?? 0) > (old.readyReplicas ?? 0) ||
    (status.availableReplicas ?? 0) > (old.availableReplicas ?? 0)
  );
}

function isLate(deployment: Deployment, old: Condition | undefined, nowMs: number): boolean {
  if (!old || old.reason === finished) return false;
  return old.reason === late || (deadlineIn(deployment, old, nowMs) ?? 1) <= 0;
}

function deadlineIn(
  deployment: Deployment,
  condition: Condition | undefined,
  nowMs: number,
): number | undefined {
  if (!condition || !hasDeadline(deployment) || deployment.spec.paused) return undefined;
  if (condition.reason === finished || condition.reason === late) return undefined;
  const since = Date.parse(condition.lastUpdateTime ?? "") || nowMs;
  return since + (deployment.spec.progressDeadlineSeconds ?? 600) * 1000 - nowMs;
}

function put(conditions: Map<string, Condition>, { touch, ...news }: News, nowMs: number): void {
  const old = conditions.get(news.type);
  if (!touch && old?.status === news.status && old.reason === news.reason && old.message === news.message)
    return;
  const now = rfc3339(nowMs);
  const lastTransitionTime = old?.status === news.status ? (old.lastTransitionTime ?? now) : now;
  conditions.set(news.type, { ...news, lastUpdateTime: now, lastTransitionTime });
}
