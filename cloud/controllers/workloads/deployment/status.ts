import { rfc3339 } from "#shared/clock";
import type { Condition } from "#shared/kube";
import type { Deployment } from "#cloud/controllers/framework";
import type { CurrentOrigin } from "./replica-sets.ts";
import { allOf, availableOf, desiredReplicas, limitsOf, type DeploymentReplicaSets } from "./rollout.ts";

type Status = NonNullable<Deployment["status"]>;

/** Kubernetes' value of progressDeadlineSeconds for no deadline: the largest int32. */
const noDeadline = 2_147_483_647;
const finished = "NewReplicaSetAvailable";
const late = "ProgressDeadlineExceeded";

interface ReconcileRun {
  /** Undefined when this run did not look at the current ReplicaSet. */
  readonly origin: CurrentOrigin | undefined;
  readonly nowMs: number;
}

export interface NewDeploymentStatus {
  readonly status: Status;
  /** Milliseconds until the progress deadline expires, if there is one to wait for. */
  readonly deadlineInMs: number | undefined;
}

/** The status a Deployment should have, with conditions as pkg/controller/deployment/progress.go sets them. */
export function deploymentStatus(
  deployment: Deployment,
  replicaSets: DeploymentReplicaSets,
  run: ReconcileRun,
): NewDeploymentStatus {
  const members = allOf(replicaSets);
  const sum = (field: "replicas" | "readyReplicas"): number =>
    members.reduce((total, { status }) => total + (status?.[field] ?? 0), 0);
  const availableReplicas = availableOf(members);
  const replicas = sum("replicas");
  const status: Status = {
    replicas,
    updatedReplicas: replicaSets.current?.status?.replicas ?? 0,
    readyReplicas: sum("readyReplicas"),
    availableReplicas,
    unavailableReplicas: Math.max(0, replicas - availableReplicas),
    observedGeneration: deployment.metadata.generation ?? 0,
  };
  const conditions = new Map((deployment.status?.conditions ?? []).map((old) => [old.type, old]));
  put(conditions, available(deployment, availableReplicas), run.nowMs);
  const update = progressing({ deployment, status, replicaSets, ...run }, conditions.get("Progressing"));
  if (!hasDeadline(deployment)) conditions.delete("Progressing");
  else if (update) put(conditions, update, run.nowMs);
  const failure = replicaFailure(replicaSets);
  if (failure) put(conditions, failure, run.nowMs);
  else conditions.delete("ReplicaFailure");
  status.conditions = [...conditions.values()];
  return { status, deadlineInMs: deadlineIn(deployment, conditions.get("Progressing"), run.nowMs) };
}

/** What keeps a ReplicaSet from creating or deleting pods, that of the current one first; as getReplicaFailures. */
function replicaFailure({ current, old }: DeploymentReplicaSets): ConditionUpdate | undefined {
  const all = [...(current ? [current] : []), ...old].flatMap(({ status }) => status?.conditions ?? []);
  const found = all.find(({ type, status }) => type === "ReplicaFailure" && status === "True");
  if (!found) return undefined;
  const { type, status, reason = "", message = "" } = found;
  return { type, status, reason, message };
}

/** Without a deadline a Deployment has no Progressing condition. */
export function hasDeadline({ spec }: Deployment): boolean {
  return spec.progressDeadlineSeconds !== undefined && spec.progressDeadlineSeconds !== noDeadline;
}

export function isComplete(deployment: Deployment, status: Status): boolean {
  const count = desiredReplicas(deployment);
  return (
    status.updatedReplicas === count &&
    status.replicas === count &&
    status.availableReplicas === count &&
    (status.observedGeneration ?? 0) >= (deployment.metadata.generation ?? 0)
  );
}

type ConditionUpdate = Pick<Condition, "type" | "status"> & {
  readonly reason: string;
  readonly message: string;
  /** Whether lastUpdateTime changes although nothing else does: progress was made. */
  readonly touch?: boolean;
};

function available(deployment: Deployment, count: number): ConditionUpdate {
  return count >= desiredReplicas(deployment) - limitsOf(deployment).unavailable
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

interface RolloutState extends ReconcileRun {
  readonly deployment: Deployment;
  readonly status: Status;
  readonly replicaSets: DeploymentReplicaSets;
}

/** The update of the Progressing condition, undefined when it stays as it is. */
function progressing(state: RolloutState, old: Condition | undefined): ConditionUpdate | undefined {
  const { deployment, status, replicaSets } = state;
  const paused = pausing(deployment, old);
  if (paused) return paused;
  const name = replicaSets.current?.metadata.name ?? "";
  if (state.origin === "created")
    return progress("True", "NewReplicaSetCreated", `Created new replica set "${name}"`, true);
  const isSettled = old?.reason === finished && status.replicas === status.updatedReplicas;
  return deployment.spec.paused || isSettled ? undefined : advance(state, old, name);
}

function advance(state: RolloutState, old: Condition | undefined, name: string): ConditionUpdate | undefined {
  const { deployment, status } = state;
  const subject = name ? `ReplicaSet "${name}"` : `Deployment "${deployment.metadata.name ?? ""}"`;
  if (isComplete(deployment, status))
    return progress("True", finished, `${subject} has successfully progressed.`);
  if (hasProgressed(deployment.status ?? {}, status))
    return progress("True", "ReplicaSetUpdated", `${subject} is progressing.`, true);
  if (isLate(deployment, old, state.nowMs))
    return progress("False", late, `${subject} has timed out progressing.`);
  if (state.origin === "found" && !old)
    return progress("True", "FoundNewReplicaSet", `Found new replica set "${name}"`, true);
  return undefined;
}

function pausing({ spec }: Deployment, old: Condition | undefined): ConditionUpdate | undefined {
  if (old?.reason === late) return undefined;
  if (spec.paused && old?.reason !== "DeploymentPaused")
    return progress("Unknown", "DeploymentPaused", "Deployment is paused", true);
  if (!spec.paused && old?.reason === "DeploymentPaused")
    return progress("Unknown", "DeploymentResumed", "Deployment is resumed", true);
  return undefined;
}

function progress(
  status: Condition["status"],
  reason: string,
  message: string,
  touch = false,
): ConditionUpdate {
  return { type: "Progressing", status, reason, message, touch };
}

/** As DeploymentProgressing: more pods are updated, ready or available, or fewer are outdated. */
function hasProgressed(old: Status, status: Status): boolean {
  const outdated = (counts: Status): number => (counts.replicas ?? 0) - (counts.updatedReplicas ?? 0);
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

function put(conditions: Map<string, Condition>, { touch, ...update }: ConditionUpdate, nowMs: number): void {
  const { type, status, reason, message } = update;
  const old = conditions.get(type);
  if (!touch && old?.status === status && old.reason === reason && old.message === message) return;
  const now = rfc3339(nowMs);
  const lastTransitionTime = old?.status === status ? (old.lastTransitionTime ?? now) : now;
  conditions.set(type, { ...update, lastUpdateTime: now, lastTransitionTime });
}
