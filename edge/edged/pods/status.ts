import { rfc3339 } from "#shared/clock";
import type { Condition, Container, ContainerState, ContainerStatus } from "#shared/kube";
import { gateConditions, type Pod, type PodPhase, type PodStatus } from "#shared/kube";
import { qosClass } from "#shared/scheduling";
import type { ContainerDetails } from "#edge/runtime";
import {
  currentSandbox,
  historyOf,
  initsDone,
  knownRuns,
  mayRestart,
  resizeOf,
  restartAtMs,
  type KnownRuns,
  type PendingResize,
  type PodOutcome,
  type PlanMemory,
  type Role,
  type StartFailure,
} from "#edge/edged/pods/plan";

export interface StatusInput {
  readonly pod: Pod;
  readonly containers: readonly ContainerDetails[];
  readonly memory: PlanMemory;
  readonly outcome: PodOutcome;
  readonly previous: PodStatus | undefined;
  /** Why this node ends the pod; its status says so, and is Failed once it has ended. */
  readonly ending?: PodEnding | undefined;
  readonly hostIp: string;
  readonly nowMs: number;
  /** By container id. */
  readonly ready: (id: string, container: Container) => boolean;
  readonly terminationMessage: (id: string) => string | undefined;
  /** What a container that runs has. */
  readonly resourcesOf: (running: ContainerDetails) => Container["resources"];
  /** A change of resources that the node has not accepted. */
  readonly pendingResize: PendingResize | undefined;
}

/** Why this node ends a pod for good. */
export interface PodEnding {
  /** e.g. "Evicted" */
  readonly reason: string;
  readonly message: string;
  /** Containers get at most so long. */
  readonly graceSeconds: number;
  /** Whether the pod is disrupted: it would run on elsewhere (the condition DisruptionTarget). */
  readonly isDisruption: boolean;
  /** Its containers and volumes stay, for their logs. */
  readonly keepsFiles?: boolean;
}

/** The status of a pod as kubelet reports it (kubelet_pods.go). Equal inputs give equal statuses: transition times are kept. */
export function podStatus(input: StatusInput): PodStatus {
  const { pod, previous } = input;
  const inits = (pod.spec.initContainers ?? []).map((one) => containerStatus(input, one, "init"));
  const mains = pod.spec.containers.map((one) => containerStatus(input, one, "container"));
  const ephemeral = (pod.spec.ephemeralContainers ?? []).map((one) =>
    containerStatus(input, one, "ephemeral"),
  );
  const phase = phaseOf(input, inits, mains);
  const ips = addressesOf(input);
  return {
    phase,
    conditions: conditionsOf(input, phase, inits, mains),
    ...endText(input),
    hostIP: input.hostIp,
    hostIPs: [{ ip: input.hostIp }],
    ...(ips.length > 0 ? { podIP: ips[0] ?? "", podIPs: ips.map((ip) => ({ ip })) } : {}),
    startTime: previous?.startTime ?? rfc3339(input.memory.podStartMs),
    qosClass: qosClass(pod),
    ...resizeText(input),
    containerStatuses: mains,
    ...(inits.length > 0 ? { initContainerStatuses: inits } : {}),
    ...(ephemeral.length > 0 ? { ephemeralContainerStatuses: ephemeral } : {}),
  };
}

/** kubelet: activeDeadlineHandler. */
export const deadlineText = {
  reason: "DeadlineExceeded",
  message: "Pod was active on the node longer than the specified deadline",
};

function endText({ outcome, ending }: StatusInput): Pick<PodStatus, "reason" | "message"> {
  if (outcome === "deadline") return deadlineText;
  return outcome === "ended" && ending ? { reason: ending.reason, message: ending.message } : {};
}

function addressesOf({ pod, containers, previous, hostIp }: StatusInput): string[] {
  if (pod.spec.hostNetwork) return currentSandbox(containers) || previous?.podIP ? [hostIp] : [];
  const ips = currentSandbox(containers)?.ips ?? [];
  return ips.length > 0 ? [...ips] : (previous?.podIPs ?? []).map(({ ip }) => ip);
}

function containerStatus(input: StatusInput, container: Container, role: Role): ContainerStatus {
  const [latest, before] = historyOf(input.containers, container.name);
  const state = stateOf(input, container, latest);
  const last = state.waiting ? latest : before;
  const known = knownRuns(input.previous ?? input.pod.status, container.name);
  const lastState = last?.phase === "exited" ? terminated(input, last) : lostEnd(known, latest);
  const runningId = state.running ? latest?.id : undefined;
  return {
    name: container.name,
    state,
    lastState,
    ready: isReady(input, { container, role, state, runningId }),
    started: runningId !== undefined && input.memory.started(runningId),
    restartCount: Math.max(latest?.identity.attempt ?? 0, known.restarts),
    ...imageFields(container, latest),
    ...resourceFields(input, container, latest),
  };
}

/** Kubernetes: of containers that run, and that have any. */
function resourceFields(
  input: StatusInput,
  { resources: allocated }: Container,
  latest: ContainerDetails | undefined,
): Pick<ContainerStatus, "resources" | "allocatedResources"> {
  const resources = latest?.phase === "running" ? input.resourcesOf(latest) : undefined;
  if (!resources || Object.keys(resources).length === 0) return {};
  const requests = allocated?.requests;
  return { resources, ...(requests && { allocatedResources: requests }) };
}

/** Containers that do not have yet what the node has accepted. */
function resizing({ pod, containers, resourcesOf }: StatusInput): Container[] {
  return [...pod.spec.containers, ...(pod.spec.initContainers ?? [])].filter((container) => {
    const [latest] = historyOf(containers, container.name);
    return latest?.phase === "running" && resizeOf(container, resourcesOf(latest)) !== "none";
  });
}

function resizeText(input: StatusInput): Pick<PodStatus, "resize"> {
  if (input.pendingResize) return { resize: input.pendingResize.reason };
  return resizing(input).length > 0 ? { resize: "InProgress" } : {};
}

/** kubelet: PodResizePending and PodResizeInProgress. */
function resizeConditions(input: StatusInput): Condition[] {
  const { pendingResize: pending, memory } = input;
  const [first] = resizing(input);
  const failure = first && memory.failures.get(first.name);
  return [
    ...(pending ? [{ type: "PodResizePending", status: "True" as const, ...pending }] : []),
    ...(first
      ? [
          {
            type: "PodResizeInProgress",
            status: "True" as const,
            ...(failure && { reason: "Error", message: failure.message }),
          },
        ]
      : []),
  ];
}

/** How the run before ended when the engine does not have it any more. */
function lostEnd(
  { restarts, lastEnd, lastState }: KnownRuns,
  latest: ContainerDetails | undefined,
): ContainerState {
  const isNext = latest === undefined || latest.identity.attempt > restarts;
  return isNext ? lastEnd : lastState;
}

/**
 * An ephemeral container is nothing that a pod could be ready by. An init container is ready once it has succeeded, unless it is
 * one that goes on beside the others.
 */
function isReady(
  input: StatusInput,
  container: {
    readonly container: Container;
    readonly role: Role;
    readonly state: ContainerState;
    readonly runningId: string | undefined;
  },
): boolean {
  const { role, state, runningId } = container;
  if (role === "ephemeral") return false;
  if (runningId === undefined) return role === "init" && state.terminated?.exitCode === 0;
  if (role === "init" && container.container.restartPolicy !== "Always") return false;
  return input.ready(runningId, container.container);
}

function imageFields(
  container: Container,
  latest: ContainerDetails | undefined,
): Pick<ContainerStatus, "image" | "imageID" | "containerID"> {
  if (!latest) return { image: container.image ?? "", imageID: "" };
  // One that is known by another name was made by id.
  const image = latest.image.startsWith("sha256:") ? (container.image ?? "") : latest.image;
  return { image, imageID: latest.imageRef, containerID: latest.uri };
}

function stateOf(
  input: StatusInput,
  container: Container,
  latest: ContainerDetails | undefined,
): ContainerState {
  const { pod, memory } = input;
  if (latest?.phase === "running") return { running: { startedAt: rfc3339(latest.startedAtMs ?? 0) } };
  if (latest?.phase === "exited" && isOver(input, container, latest)) return terminated(input, latest);
  const failure = memory.failures.get(container.name);
  if (failure) return waitingFor(failure);
  if (latest?.phase === "exited") return crashState(input, container, latest);
  const hasInits = (pod.spec.initContainers ?? []).length > 0;
  return { waiting: { reason: hasInits ? "PodInitializing" : "ContainerCreating" } };
}

function waitingFor({ reason, message }: StartFailure): ContainerState {
  return { waiting: { reason, ...(message === "" ? {} : { message }) } };
}

function isOver(input: StatusInput, container: Container, latest: ContainerDetails): boolean {
  return input.outcome !== "running" || !mayRestart(input.pod, latest, container);
}

function crashState(input: StatusInput, container: Container, latest: ContainerDetails): ContainerState {
  const entry = input.memory.crashes.get(container.name);
  if (input.nowMs >= restartAtMs(entry, latest) || !entry) return terminated(input, latest);
  const { name, namespace, uid } = input.pod.metadata;
  const seconds = formatSeconds(entry.delayMs / 1000);
  const message = `back-off ${seconds} restarting failed container=${container.name} pod=${name}_${namespace}(${uid})`;
  return { waiting: { reason: "CrashLoopBackOff", message } };
}

function formatSeconds(seconds: number): string {
  return seconds < 60 ? `${seconds}s` : `${Math.floor(seconds / 60)}m${seconds % 60}s`;
}

function terminated(input: StatusInput, ended: ContainerDetails): ContainerState {
  const { exitCode, oomKilled } = ended;
  const message = input.terminationMessage(ended.id) ?? (ended.error === "" ? undefined : ended.error);
  const reason = oomKilled ? "OOMKilled" : exitCode === 0 ? "Completed" : "Error";
  return {
    terminated: {
      exitCode,
      reason,
      ...(message === undefined ? {} : { message }),
      startedAt: rfc3339(ended.startedAtMs ?? 0),
      finishedAt: rfc3339(ended.finishedAtMs ?? 0),
      containerID: ended.uri,
    },
  };
}

function phaseOf(input: StatusInput, inits: ContainerStatus[], mains: ContainerStatus[]): PodPhase {
  const { pod, containers, memory, outcome } = input;
  if (outcome === "deadline" || outcome === "ended") return "Failed";
  if (outcome === "running" && !initsDone(pod, containers, memory.started)) return "Pending";
  // How one ends that goes on beside the others says nothing about the pod.
  const sidecars = (pod.spec.initContainers ?? []).filter((one) => one.restartPolicy === "Always");
  const failedInit =
    outcome === "finished" &&
    inits.some(
      ({ name, state }) =>
        (state?.terminated?.exitCode ?? 0) !== 0 && sidecars.every((one) => one.name !== name),
    );
  if (failedInit) return "Failed";
  if (mains.some((one) => one.state?.waiting && !one.lastState?.terminated)) return "Pending";
  if (mains.some((one) => one.state?.running)) return "Running";
  const ended = mains.map((one) => one.state?.terminated);
  if (outcome !== "finished") return "Running";
  return ended.every((one) => one?.exitCode === 0) ? "Succeeded" : "Failed";
}

function conditionsOf(
  input: StatusInput,
  phase: PodPhase,
  inits: ContainerStatus[],
  mains: ContainerStatus[],
): Condition[] {
  const initialized =
    input.outcome === "running"
      ? initsDone(input.pod, input.containers, input.memory.started)
      : inits.every((one) => one.ready);
  const incomplete = inits.filter((one) => !one.ready).map((one) => one.name);
  const unready = mains.filter((one) => !one.ready).map((one) => one.name);
  const ready = readyOf(phase, unready);
  const notInitialized = {
    status: "False" as const,
    reason: "ContainersNotInitialized",
    message: `containers with incomplete status: [${incomplete.join(" ")}]`,
  };
  const wanted: Condition[] = [
    { type: "Initialized", ...(initialized ? { status: "True" as const } : notInitialized) },
    { type: "Ready", ...withGates(input.pod, ready) },
    { type: "ContainersReady", ...ready },
    { type: "PodScheduled", status: "True" },
    ...disruptionOf(input),
    ...resizeConditions(input),
  ];
  return wanted.map((one) => withTimes(one, input));
}

/** kubelet's PodDisruptionConditions (KEP-3329): Jobs do not count such a failure. */
function disruptionOf({ ending }: StatusInput): Condition[] {
  if (!ending?.isDisruption) return [];
  const { message } = ending;
  return [{ type: "DisruptionTarget", status: "True", reason: "TerminationByKubelet", message }];
}

function readyOf(phase: PodPhase, unready: readonly string[]): Omit<Condition, "type"> {
  if (phase === "Succeeded") return { status: "False", reason: "PodCompleted" };
  if (phase === "Failed") return { status: "False", reason: "PodFailed" };
  if (unready.length === 0) return { status: "True" };
  const message = `containers with unready status: [${unready.join(" ")}]`;
  return { status: "False", reason: "ContainersNotReady", message };
}

/** kubelet: GeneratePodReadyCondition. */
function withGates(pod: Pod, ready: Omit<Condition, "type">): Omit<Condition, "type"> {
  if (ready.status !== "True") return ready;
  const wrong = Object.entries(gateConditions(pod) ?? {}).flatMap(([type, status]) => {
    if (status === "True") return [];
    return status === undefined
      ? [`corresponding condition of pod readiness gate "${type}" does not exist.`]
      : [`the status of pod readiness gate "${type}" is not "True", but ${status}`];
  });
  return wrong.length === 0
    ? ready
    : { status: "False", reason: "ReadinessGatesNotReady", message: wrong.join(", ") };
}

function withTimes(condition: Condition, { previous, nowMs, pod }: StatusInput): Condition {
  const before = [...(previous?.conditions ?? []), ...(pod.status?.conditions ?? [])].find(
    (one) => one.type === condition.type,
  );
  const same = before?.status === condition.status && before.lastTransitionTime;
  return { ...condition, lastProbeTime: null, lastTransitionTime: same || rfc3339(nowMs) };
}
