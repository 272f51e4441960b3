import type { Container, Pod } from "#shared/kube";
import { AppError, asError } from "#shared/errors";
import type { ContainerDetails } from "#edge/runtime";

/**
 * What to do next for a pod, from what is wanted and what the engine has. Pure: the pod worker performs it, looks
 * again, and asks again until there is nothing to do.
 */
export interface PlanInput {
  readonly pod: Pod;
  readonly containers: readonly ContainerDetails[];
  readonly memory: PlanMemory;
  readonly nowMs: number;
}

/** What the engine cannot tell: kept by the worker. */
export interface PlanMemory {
  readonly podStartMs: number;
  readonly crashes: ReadonlyMap<string, CrashBackoff>;
  /** By container name, and `sandboxName` for the pod as a whole. */
  readonly failures: ReadonlyMap<string, StartFailure>;
  /** Ids of containers whose liveness or startup probe failed. */
  readonly unhealthy: ReadonlySet<string>;
  /** Ids of sidecars that count as started. */
  readonly started: (id: string) => boolean;
}

export interface CrashBackoff {
  readonly delayMs: number;
}

export interface StartFailure {
  /** as in a waiting state, e.g. "ErrImagePull" */
  readonly reason: string;
  readonly message: string;
  readonly failedAtMs: number;
  readonly retryAtMs: number;
  readonly count: number;
}

export type Action =
  | { readonly kind: "stop"; readonly target: ContainerDetails; readonly why: StopReason }
  | { readonly kind: "remove"; readonly target: ContainerDetails }
  | { readonly kind: "sandbox"; readonly attempt: number }
  | { readonly kind: "start"; readonly container: Container; readonly role: Role; readonly attempt: number }
  | { readonly kind: "wait"; readonly container: string; readonly untilMs: number };

export type StopReason = "unhealthy" | "changed" | "sandbox" | "deadline" | "finished";
export type Role = "init" | "container";
export type Outcome = "running" | "finished" | "deadline";

export interface Plan {
  readonly outcome: Outcome;
  readonly actions: readonly Action[];
  readonly wakeAtMs: number | undefined;
}

/** Name of the container that holds a pod's namespaces, as kubelet calls it. */
export const sandboxName = "POD";
const firstCrashMs = 10_000;
const capCrashMs = 300_000;
const healthyRunMs = 600_000;

export function planPod(input: PlanInput): Plan {
  const { pod, containers, nowMs } = input;
  const deadlineMs = deadlineOf(input);
  if (deadlineMs !== undefined && nowMs >= deadlineMs) {
    const running = containers.filter((one) => one.phase === "running");
    const actions = running.map((target): Action => ({ kind: "stop", target, why: "deadline" }));
    return { outcome: "deadline", actions, wakeAtMs: undefined };
  }
  if (isFinished(pod, containers)) {
    const sandboxes = containers.filter((one) => one.identity.role === "sandbox" && one.phase === "running");
    const actions = sandboxes.map((target): Action => ({ kind: "stop", target, why: "finished" }));
    return { outcome: "finished", actions, wakeAtMs: undefined };
  }
  const actions = [...planSandbox(input), ...planContainers(input)];
  return { outcome: "running", actions, wakeAtMs: earliest(actions, deadlineMs, input) };
}

/** The delay before the next restart of a container that ended, and the entry to keep once it is restarted. */
export function restartAtMs(entry: CrashBackoff | undefined, ended: ContainerDetails): number {
  const finished = ended.finishedAtMs ?? 0;
  return entry === undefined || ranWell(ended) ? finished : finished + entry.delayMs;
}

export function nextCrash(entry: CrashBackoff | undefined, ended: ContainerDetails): CrashBackoff {
  if (entry === undefined || ranWell(ended)) return { delayMs: firstCrashMs };
  return { delayMs: Math.min(capCrashMs, entry.delayMs * 2) };
}

/** Newest first. */
export function historyOf(containers: readonly ContainerDetails[], name: string): ContainerDetails[] {
  const own = containers.filter((one) => one.identity.container === name);
  return own.sort((a, b) => b.identity.attempt - a.identity.attempt);
}

export function currentSandbox(containers: readonly ContainerDetails[]): ContainerDetails | undefined {
  return historyOf(containers, sandboxName).find((one) => one.phase === "running");
}

export function mayRestart(pod: Pod, ended: ContainerDetails, container?: Container): boolean {
  const policy = container?.restartPolicy ?? pod.spec.restartPolicy ?? "Always";
  const failed = ended.exitCode !== 0;
  if (ended.identity.role === "init")
    return container?.restartPolicy === "Always" || (failed && policy !== "Never");
  return policy === "Always" || (policy === "OnFailure" && failed);
}

/** Init containers of this sandbox all done (sidecars: started), or passed already because a main container exists. */
export function initsDone(
  pod: Pod,
  containers: readonly ContainerDetails[],
  started: (id: string) => boolean,
): boolean {
  return nextInit(pod, containers, started) === undefined;
}

function nextInit(
  pod: Pod,
  containers: readonly ContainerDetails[],
  started: (id: string) => boolean,
): Container | undefined {
  const sandbox = currentSandbox(containers)?.id;
  const mainMade = containers.some(
    (one) =>
      one.identity.role === "container" && one.identity.sandboxId === sandbox && one.phase !== "created",
  );
  if (mainMade) return undefined;
  return (pod.spec.initContainers ?? []).find((init) => {
    const [latest] = historyOf(containers, init.name);
    if (!latest || latest.identity.sandboxId !== sandbox) return true;
    if (init.restartPolicy === "Always") return latest.phase !== "running" || !started(latest.id);
    return latest.phase !== "exited" || latest.exitCode !== 0;
  });
}

function deadlineOf({ pod, memory }: PlanInput): number | undefined {
  const seconds = pod.spec.activeDeadlineSeconds;
  return seconds === undefined ? undefined : memory.podStartMs + seconds * 1000;
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

/** Without a live sandbox everything that still runs has lost its network: it ends, and the pod gets a new sandbox. */
function planSandbox({ containers, memory, nowMs }: PlanInput): Action[] {
  const sandboxes = historyOf(containers, sandboxName);
  const current = currentSandbox(containers);
  const stale = sandboxes.filter((one) => one !== current);
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
  const start: Action = { kind: "start", container, role, attempt: latest?.identity.attempt ?? 0 };
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
  // One dead predecessor stays for its logs and last state.
  const removals = older.map((target): Action => ({ kind: "remove", target }));
  return [...removals, { kind: "start", container, role, attempt: latest.identity.attempt + 1 }];
}

function planRunning(input: PlanInput, container: Container, latest: ContainerDetails): Action[] {
  const { memory } = input;
  const sandboxId = currentSandbox(input.containers)?.id;
  // planSandbox stops what lost its sandbox; it is started again once it ended.
  if (latest.identity.sandboxId !== sandboxId)
    return sandboxId === undefined ? [] : [{ kind: "stop", target: latest, why: "sandbox" }];
  if (memory.unhealthy.has(latest.id)) return [{ kind: "stop", target: latest, why: "unhealthy" }];
  if (!isMadeFrom(latest, container)) return [{ kind: "stop", target: latest, why: "changed" }];
  return [];
}

function isMadeFrom({ identity }: ContainerDetails, container: Container): boolean {
  // Versions before this one hashed the fields in the order in which they had arrived.
  return identity.specHash === specHash(container) || identity.specHash === hashOf(fixedPart(container));
}

/**
 * What a running container cannot take on: a change of it means a new container. The same object has its fields in
 * another order, and empty ones or none, when another cloudcore or API server sends it.
 */
export function specHash(container: Container): string {
  return hashOf(fixedPart(container).map(canonical));
}

function fixedPart({ image, command, args, workingDir, env, envFrom }: Container): readonly unknown[] {
  return [image, command, args, workingDir, env, envFrom];
}

function hashOf(parts: readonly unknown[]): string {
  return Bun.hash(JSON.stringify(parts)).toString(16);
}

/** Fields in order and without those that say nothing; `undefined` when nothing is left. Items of lists all count. */
function canonical(value: unknown): unknown {
  if (value === null || value === "") return undefined;
  if (typeof value !== "object") return value;
  if (Array.isArray(value)) {
    const items = value.map((item: unknown) => (typeof item === "object" ? canonical(item) : item));
    return items.length === 0 ? undefined : items;
  }
  const fields = Object.entries(value)
    .map(([name, field]) => [name, canonical(field)] as const)
    .filter(([, field]) => field !== undefined)
    .toSorted(([a], [b]) => (a < b ? -1 : 1));
  return fields.length === 0 ? undefined : Object.fromEntries(fields);
}

function isBlocked(memory: PlanMemory, name: string, nowMs: number): boolean {
  const failure = memory.failures.get(name);
  return failure !== undefined && nowMs < failure.retryAtMs && !isFuture(failure.failedAtMs, nowMs);
}

/**
 * Whether something that has happened bears a time to come: the clock was ahead then and has been set back. A wait that
 * counts from there could last for years. The engine may be another machine, whose clock may differ a little.
 */
function isFuture(pastMs: number | undefined, nowMs: number): boolean {
  return pastMs !== undefined && pastMs - nowMs > capCrashMs;
}

function ranWell(ended: ContainerDetails): boolean {
  return (ended.finishedAtMs ?? 0) - (ended.startedAtMs ?? 0) >= healthyRunMs;
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

interface Failed extends StartFailure {
  readonly image: string;
  /** When a failed pull is shown as backing off; undefined once it is, and for other failures. */
  readonly turnsAtMs: number | undefined;
}

/** How long a failure of each kind waits at first and at most; what waits for an object is also woken by its arrival. */
const retryWaits: Readonly<Record<string, readonly [number, number]>> = {
  ErrImagePull: [10_000, 300_000],
  CreateContainerConfigError: [5_000, 60_000],
  ContainerCreating: [2_000, 60_000],
  [sandboxName]: [1_000, 30_000],
};

/** What one worker remembers between its passes. */
export class PodMemory {
  readonly #podStartMs: number;
  readonly #crashes = new Map<string, CrashBackoff>();
  readonly #failures = new Map<string, Failed>();
  #told = new Set<string>();

  constructor(podStartMs: number) {
    this.#podStartMs = podStartMs;
  }

  view(probes: {
    readonly started: (id: string) => boolean;
    readonly unhealthy: () => ReadonlySet<string>;
  }): PlanMemory {
    return {
      podStartMs: this.#podStartMs,
      crashes: this.#crashes,
      failures: this.#failures,
      unhealthy: probes.unhealthy(),
      started: (id) => probes.started(id),
    };
  }

  /** @returns whether it had failed before */
  succeeded(name: string): boolean {
    return this.#failures.delete(name);
  }

  restarted(ended: ContainerDetails): void {
    const name = ended.identity.container;
    this.#crashes.set(name, nextCrash(this.#crashes.get(name), ended));
    this.#told.delete(ended.id);
  }

  failed(
    name: string,
    what: { readonly error: unknown; readonly image: string; readonly nowMs: number },
  ): StartFailure {
    const { error, image, nowMs } = what;
    const before = this.#failures.get(name);
    const reason = reasonOf(error);
    const count = (before?.count ?? 0) + 1;
    const [first, cap] = retryWaits[name] ?? retryWaits[reason] ?? [10_000, 300_000];
    const retryAtMs = nowMs + Math.min(cap, first * 2 ** Math.min(20, count - 1));
    const turnsAtMs = reason === "ErrImagePull" ? nowMs + 1000 : undefined;
    const message = reason === "ContainerCreating" ? "" : asError(error).message;
    const failure = { reason, message, failedAtMs: nowMs, retryAtMs, count, image, turnsAtMs };
    this.#failures.set(name, failure);
    return failure;
  }

  /** What waited for a ConfigMap, a Secret or a volume may be tried at once. */
  retryConfig(): void {
    for (const [name, { reason }] of this.#failures) {
      if (reason === "CreateContainerConfigError" || reason === "ContainerCreating")
        this.#failures.delete(name);
    }
  }

  /** Failed pulls that are backing off from now on, as [container, image]. */
  turnPulls(nowMs: number): [string, string][] {
    const turned: [string, string][] = [];
    for (const [name, failure] of this.#failures) {
      if (failure.turnsAtMs === undefined || nowMs < failure.turnsAtMs) continue;
      const message = `Back-off pulling image "${failure.image}"`;
      this.#failures.set(name, { ...failure, reason: "ImagePullBackOff", message, turnsAtMs: undefined });
      turned.push([name, failure.image]);
    }
    return turned;
  }

  nextTurnMs(): number | undefined {
    const times = [...this.#failures.values()].map((one) => one.turnsAtMs).filter((ms) => ms !== undefined);
    return times.length > 0 ? Math.min(...times) : undefined;
  }

  /** Whether waiting after this end was not told yet. */
  firstWait(id: string): boolean {
    if (this.#told.has(id)) return false;
    this.#told = new Set([...this.#told, id].slice(-50));
    return true;
  }
}

function reasonOf(error: unknown): string {
  const code = error instanceof AppError ? error.code : "";
  // Codes of start errors are reasons already; anything else is a volume or sandbox that cannot be made.
  return /^[A-Z]/.test(code) ? code : "ContainerCreating";
}
