import type { Container, Pod, PodStatus } from "#shared/kube";
import type { ContainerDetails } from "#edge/runtime";
import { isFuture, restartAtMs } from "./crash-backoff.ts";
import { currentSandbox, historyOf, mayRestart, nextInit, sandboxName, type Role } from "./history.ts";
import type { PlanMemory } from "./memory.ts";
import { knownRuns, nextAttempt } from "./runs.ts";
import { isMadeFrom } from "./spec-hash.ts";
import type { Resize } from "./resize.ts";

/** The desired pod, and what the engine and the worker know of it. */
export interface PlanInput {
  readonly pod: Pod;
  readonly containers: readonly ContainerDetails[];
  readonly memory: PlanMemory;
  /** As reported last. */
  readonly status: PodStatus | undefined;
  readonly nowMs: number;
  /** What becomes of a container that runs, by what it has and what it is to have. */
  readonly resizeOf: (running: ContainerDetails, container: Container) => Resize;
}

export type Action =
  | { readonly kind: "stop"; readonly target: ContainerDetails; readonly why: StopReason }
  | { readonly kind: "remove"; readonly target: ContainerDetails }
  | { readonly kind: "sandbox"; readonly attempt: number }
  | { readonly kind: "start"; readonly container: Container; readonly role: Role; readonly attempt: number }
  | { readonly kind: "resize"; readonly target: ContainerDetails; readonly container: Container }
  | { readonly kind: "wait"; readonly container: string; readonly untilMs: number };

export type StopReason = "unhealthy" | "changed" | "resized" | "sandbox" | "deadline" | "finished";
/** "ended": by this node, whatever its containers did. */
export type PodOutcome = "running" | "finished" | "deadline" | "ended";

export interface Plan {
  readonly outcome: PodOutcome;
  readonly actions: readonly Action[];
  readonly wakeAtMs: number | undefined;
}

/**
 * What to do next for a pod, as kubelet's computePodActions. Pure: the worker performs the plan, observes, and plans
 * again until there is nothing to do.
 */
export function planPod(input: PlanInput): Plan {
  const { pod, containers, nowMs } = input;
  const deadlineMs = deadlineOf(input);
  if (deadlineMs !== undefined && nowMs >= deadlineMs) {
    const actions = stopOrder(pod, containers).map((target): Action => ({
      kind: "stop",
      target,
      why: "deadline",
    }));
    return { outcome: "deadline", actions, wakeAtMs: undefined };
  }
  if (isFinished(pod, containers)) {
    const actions = stopOrder(pod, containers).map((target): Action => ({
      kind: "stop",
      target,
      why: "finished",
    }));
    return { outcome: "finished", actions, wakeAtMs: undefined };
  }
  const actions = [...planSandbox(input), ...planEphemeral(input), ...planContainers(input)];
  return { outcome: "running", actions, wakeAtMs: earliest(actions, deadlineMs, input) };
}

/** By the wall clock as it is now. */
function deadlineOf({ pod, memory, nowMs }: PlanInput): number | undefined {
  const seconds = pod.spec.activeDeadlineSeconds;
  return seconds === undefined ? undefined : nowMs + seconds * 1000 - memory.activeMs;
}

function isFinished(pod: Pod, containers: readonly ContainerDetails[]): boolean {
  const failedInit = (pod.spec.initContainers ?? []).some((init) => {
    const [latest] = historyOf(containers, init.name);
    return latest?.phase === "exited" && latest.exitCode !== 0 && !mayRestart(pod, latest, init);
  });
  if (failedInit) return true;
  return pod.spec.containers.every((container) => {
    const [latest] = historyOf(containers, container.name);
    return latest?.phase === "exited" && !mayRestart(pod, latest);
  });
}

/**
 * What runs of a pod that is over, in the order in which it ends: as kubelet, init containers that go on beside the others after
 * these, the last one first. With the sandbox engines of the CRI end at once what is in it.
 */
function stopOrder(pod: Pod, containers: readonly ContainerDetails[]): ContainerDetails[] {
  const inits = (pod.spec.initContainers ?? []).map(({ name }) => name);
  const running = containers.filter((one) => one.phase === "running");
  const of = (role: ContainerDetails["identity"]["role"]): ContainerDetails[] =>
    running.filter(({ identity }) => identity.role === role);
  const sidecars = of("init").toSorted(
    (a, b) => inits.indexOf(b.identity.container) - inits.indexOf(a.identity.container),
  );
  return [...of("container"), ...of("ephemeral"), ...sidecars, ...of("sandbox")];
}

/** Without a running sandbox containers have no network: they are stopped, and the pod gets a new sandbox. */
function planSandbox({ containers, memory, nowMs }: PlanInput): Action[] {
  const sandboxes = historyOf(containers, sandboxName);
  const current = currentSandbox(containers);
  // As kubelet: a sandbox is removed after its containers, whose logs and ends are shown until others have taken their place.
  const isEmpty = ({ id }: ContainerDetails): boolean =>
    !containers.some((one) => one.identity.sandboxId === id);
  const stale = sandboxes.filter((one) => one !== current && isEmpty(one));
  const removals = stale.map((target): Action => ({ kind: "remove", target }));
  if (current) return removals;
  if (isBlocked(memory, sandboxName, nowMs)) return [];
  const orphans = containers.filter((one) => one.identity.role !== "sandbox" && one.phase === "running");
  return [
    ...orphans.map((target): Action => ({ kind: "stop", target, why: "sandbox" })),
    ...removals,
    { kind: "sandbox", attempt: (sandboxes[0]?.identity.attempt ?? -1) + 1 },
  ];
}

/** Each is started once, whatever the others do, also beside an init container that fails, and never again. */
function planEphemeral({ pod, containers, memory, nowMs }: PlanInput): Action[] {
  if (!currentSandbox(containers) && isBlocked(memory, sandboxName, nowMs)) return [];
  return (pod.spec.ephemeralContainers ?? []).flatMap((container): Action[] => {
    const [latest] = historyOf(containers, container.name);
    if ((latest && latest.phase !== "created") || isBlocked(memory, container.name, nowMs)) return [];
    const start: Action = { kind: "start", container, role: "ephemeral", attempt: 0 };
    return latest ? [{ kind: "remove", target: latest }, start] : [start];
  });
}

function planContainers(input: PlanInput): Action[] {
  const { pod, containers, memory, nowMs } = input;
  const sandbox = currentSandbox(containers);
  if (!sandbox && isBlocked(memory, sandboxName, nowMs)) return [];
  const inits = pod.spec.initContainers ?? [];
  const next = nextInit(pod, containers, memory.started);
  const sidecars = inits.filter((init) => init.restartPolicy === "Always" && init !== next);
  const reached = next ? sidecars.filter((one) => inits.indexOf(one) < inits.indexOf(next)) : sidecars;
  const actions = [...reached, ...(next ? [next] : [])].flatMap((init) => planOne(input, init, "init"));
  if (!next) actions.push(...pod.spec.containers.flatMap((one) => planOne(input, one, "container")));
  return actions;
}

function planOne(input: PlanInput, container: Container, role: Role): Action[] {
  const { containers, memory, nowMs } = input;
  const [latest, ...older] = historyOf(containers, container.name);
  if (latest?.phase === "running") return planRunning(input, container, latest);
  if (latest?.phase === "exited") return planExited(input, container, latest, older);
  if (isBlocked(memory, container.name, nowMs)) return [];
  const attempt = latest?.identity.attempt ?? nextAttempt(knownRuns(input.status, container.name), undefined);
  const start: Action = { kind: "start", container, role, attempt };
  return latest ? [{ kind: "remove", target: latest }, start] : [start];
}

function planExited(
  input: PlanInput,
  container: Container,
  latest: ContainerDetails,
  older: readonly ContainerDetails[],
): Action[] {
  const { pod, memory, nowMs } = input;
  const { role } = latest.identity;
  const sameSandbox = latest.identity.sandboxId === currentSandbox(input.containers)?.id;
  const initAgain = role === "init" && !sameSandbox;
  if (role === "sandbox" || (!initAgain && !mayRestart(pod, latest, container))) return [];
  const untilMs = sameSandbox ? restartAtMs(memory.crashes.get(container.name), latest) : 0;
  if (nowMs < untilMs && !isFuture(latest.finishedAtMs, nowMs))
    return [{ kind: "wait", container: container.name, untilMs }];
  if (isBlocked(memory, container.name, nowMs)) return [];
  const attempt = nextAttempt(knownRuns(input.status, container.name), latest);
  // The last instance is kept for its log and lastState, as kubelet does (MaxPerPodContainer).
  const removals = older.map((target): Action => ({ kind: "remove", target }));
  return [...removals, { kind: "start", container, role, attempt }];
}

function planRunning(input: PlanInput, container: Container, latest: ContainerDetails): Action[] {
  const { memory } = input;
  const sandboxId = currentSandbox(input.containers)?.id;
  // planSandbox stops containers without a sandbox; they are started again once they have ended.
  if (latest.identity.sandboxId !== sandboxId)
    return sandboxId === undefined ? [] : [{ kind: "stop", target: latest, why: "sandbox" }];
  if (memory.unhealthy.has(latest.id)) return [{ kind: "stop", target: latest, why: "unhealthy" }];
  if (!isMadeFrom(latest, container)) return [{ kind: "stop", target: latest, why: "changed" }];
  const resize = input.resizeOf(latest, container);
  if (resize === "restart") return [{ kind: "stop", target: latest, why: "resized" }];
  const isDue = resize === "update" && !isBlocked(memory, container.name, input.nowMs);
  return isDue ? [{ kind: "resize", target: latest, container }] : [];
}

function isBlocked(memory: PlanMemory, name: string, nowMs: number): boolean {
  const failure = memory.failures.get(name);
  return failure !== undefined && nowMs < failure.retryAtMs && !isFuture(failure.failedAtMs, nowMs);
}

function earliest(
  actions: readonly Action[],
  deadlineMs: number | undefined,
  { memory, nowMs }: PlanInput,
): number | undefined {
  const times = [
    ...actions.flatMap((action) => (action.kind === "wait" ? [action.untilMs] : [])),
    ...[...memory.failures.values()].map((failure) => failure.retryAtMs),
    ...(deadlineMs === undefined ? [] : [deadlineMs]),
  ].filter((ms) => ms > nowMs);
  return times.length > 0 ? Math.min(...times) : undefined;
}
