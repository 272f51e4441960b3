import type { Clock } from "#shared/clock";
import type { Container, Pod, Probe } from "#shared/kube";
import { withDeadline } from "#shared/lifecycle";
import type { ContainerDetails, ContainerRuntime } from "#edge/runtime";
import type { Logger } from "#shared/log";
import type { StopReason } from "#edge/edged/pods/plan";
import type { PodReporter } from "./reporter.ts";
import type { PodState } from "./state.ts";
import type { PodEvent } from "#edge/edged/events";
import { httpGet, type FailedProbe } from "#edge/edged/probes";

export type Why = StopReason | "deleted" | "ended";

export interface PodStopperDeps {
  readonly runtime: ContainerRuntime;
  readonly clock: Clock;
  readonly log: Logger;
  readonly reporter: Pick<PodReporter, "record">;
  /** Aborted when edged is disposed; the engine goes on stopping. */
  readonly signal: AbortSignal;
}

/** Stops the containers of one pod. Once the pod is being deleted its grace can only shrink, also for stops under way. */
export class PodStopper {
  readonly #state: PodState;
  readonly #deps: PodStopperDeps;
  /** By id. */
  readonly #stopping = new Map<string, ContainerDetails>();
  #graceSeconds: number;
  #isDeleting: boolean;
  #isCapped = false;

  constructor(state: PodState, deps: PodStopperDeps) {
    this.#state = state;
    this.#deps = deps;
    this.#graceSeconds = graceOf(state.pod);
    this.#isDeleting = state.pod.metadata.deletionTimestamp !== undefined;
  }

  isStopping(id: string): boolean {
    return this.#stopping.has(id);
  }

  /** `failed`: the probe that a container which is not healthy failed. */
  async stop(target: ContainerDetails, why: Why, failed?: FailedProbe): Promise<void> {
    const container = this.#state.findSpec(target.identity.container);
    if (container) {
      const message = stopText(why, container.name, failed);
      this.#deps.reporter.record(container, { type: "Normal", reason: "Killing", message });
    }
    this.#stopping.set(target.id, target);
    try {
      if (target.identity.role === "sandbox") await this.#stopSandbox(target.id);
      else await this.#stopContainer(target, this.#tools(container, this.#graceFor(failed)));
    } finally {
      this.#stopping.delete(target.id);
      this.#state.containers.invalidate(target.id);
    }
  }

  /** What runs of the pod, its sandbox last. */
  async stopAll(why: Why): Promise<void> {
    const running = this.#state.containers.all.filter((one) => one.phase === "running");
    const isSandbox = ({ identity }: ContainerDetails): boolean => identity.role === "sandbox";
    await Promise.all(running.filter((one) => !isSandbox(one)).map((one) => this.stop(one, why)));
    await Promise.all(running.filter(isSandbox).map((one) => this.stop(one, why)));
  }

  /** @returns the Event of a postStart hook that failed; its container was stopped */
  async runPostStart(id: string, container: Container): Promise<PodEvent | undefined> {
    return runPostStart(id, this.#tools(container, this.#graceSeconds));
  }

  /** The pod is being deleted; a repeated deletion may ask for less time. */
  shortenGrace(): void {
    const graceSeconds = graceOf(this.#state.pod);
    if (this.#isDeleting && graceSeconds >= this.#graceSeconds) return;
    this.#isDeleting = true;
    // What this node has given it is not prolonged by a deletion.
    this.#shorten(this.#isCapped ? Math.min(graceSeconds, this.#graceSeconds) : graceSeconds);
  }

  /** This node ends the pod: no container gets more than that, also where a stop is under way. */
  capGrace(graceSeconds: number): void {
    this.#isCapped = true;
    if (graceSeconds < this.#graceSeconds) this.#shorten(graceSeconds);
  }

  #shorten(graceSeconds: number): void {
    this.#graceSeconds = graceSeconds;
    const { runtime, log } = this.#deps;
    for (const { id, identity } of this.#stopping.values()) {
      if (identity.role === "sandbox") continue;
      const shorter = runtime.stop(id, graceSeconds);
      shorter.catch((error: unknown) => log.debug("cannot shorten a stop", { pod: this.#state.key, error }));
    }
  }

  async #stopContainer(target: ContainerDetails, tools: StopTools): Promise<void> {
    await stopGracefully(target, tools, (failure) =>
      this.#deps.reporter.record(tools.container, {
        type: "Warning",
        reason: "FailedPreStopHook",
        message: `PreStopHook failed: ${failure}`,
      }),
    );
  }

  /** kubelet: that of a probe counts while the pod is not being deleted. */
  #graceFor(failed: FailedProbe | undefined): number {
    const ofProbe = failed?.probe.terminationGracePeriodSeconds;
    if (ofProbe === undefined || this.#isDeleting) return this.#graceSeconds;
    return this.#isCapped ? Math.min(ofProbe, this.#graceSeconds) : ofProbe;
  }

  #stopSandbox(id: string): Promise<void> {
    return unlessAborted(this.#deps.runtime.stopSandbox(id), this.#deps.signal);
  }

  #tools(container: Container | undefined, graceSeconds: number): StopTools {
    const { runtime, clock, signal } = this.#deps;
    return { runtime, clock, graceSeconds, container, ip: this.#state.address(), signal };
  }
}

interface StopTools {
  readonly runtime: ContainerRuntime;
  readonly clock: Clock;
  readonly graceSeconds: number;
  readonly container: Container | undefined;
  readonly ip: string;
  readonly signal: AbortSignal;
}

/**
 * The preStop hook and then the signal; both share the grace period. As with kubelet (minimumGracePeriodInSeconds) at
 * least 2 s are left for the signal.
 */
async function stopGracefully(
  target: ContainerDetails,
  tools: StopTools,
  onFailure: (failure: string) => void,
): Promise<void> {
  const { runtime, clock, graceSeconds } = tools;
  const startMs = clock.monotonicMs();
  const hook = hookOf(tools.container, "preStop");
  if (hook && graceSeconds > 0 && target.phase === "running") {
    const failure = await runHook(target.id, hook, tools);
    if (failure !== undefined) onFailure(failure);
  }
  const spent = Math.floor((clock.monotonicMs() - startMs) / 1000);
  const left = hook ? Math.max(Math.min(2, graceSeconds), graceSeconds - spent) : graceSeconds;
  await unlessAborted(runtime.stop(target.id, left), tools.signal);
}

/** The engine goes on stopping without us: disposing does not wait for it. */
async function unlessAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  const aborted = Promise.withResolvers<never>();
  aborted.promise.catch(() => undefined);
  const onAbort = (): void => aborted.reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** What a container hook may be. */
interface Hook {
  readonly exec?: { readonly command?: string[] };
  readonly httpGet?: Probe["httpGet"];
  readonly sleep?: { readonly seconds: number };
  readonly tcpSocket?: Probe["tcpSocket"];
}

function hookOf(container: Container | undefined, name: "preStop" | "postStart"): Hook | undefined {
  // The shape of hooks is checked with that of the pod, before it is stored.
  return container?.lifecycle?.[name] as Hook | undefined;
}

/** Runs a hook; one that fails or takes too long does not keep the container from stopping. @returns the failure */
async function runHook(id: string, hook: Hook, tools: StopTools): Promise<string | undefined> {
  const { runtime, clock, container, ip, signal } = tools;
  try {
    return await withDeadline(
      clock,
      { ms: tools.graceSeconds * 1000, what: "hook", signal },
      async (inner) => {
        if (hook.exec?.command) {
          const result = await runtime.runCommand(id, hook.exec.command, {
            signal: inner,
            maxOutputBytes: mostHookOutputBytes,
          });
          return result.exitCode === 0
            ? undefined
            : `command exited with ${result.exitCode}: ${result.output}`;
        }
        if (hook.httpGet && container) return httpGet({ container, ip }, hook.httpGet, inner);
        if (!hook.sleep) return invalidHook(hook);
        await clock.sleep(hook.sleep.seconds * 1000, { signal: inner });
        return undefined;
      },
    );
  } catch (error) {
    signal.throwIfAborted();
    return String(error);
  }
}

/** kubelet has no other handlers: the API lets tcpSocket pass, and such a hook fails when it is run. */
function invalidHook(hook: Hook): string {
  return `Cannot run handler: invalid handler: ${Object.keys(hook).join(", ") || "none"}`;
}

/** A container whose hook fails is stopped; its restart policy decides what follows. @returns its Event */
async function runPostStart(id: string, tools: StopTools): Promise<PodEvent | undefined> {
  const hook = hookOf(tools.container, "postStart");
  const wrong = hook && (await runHook(id, hook, { ...tools, graceSeconds: postStartSeconds }));
  if (wrong === undefined) return undefined;
  await tools.runtime.stop(id, tools.graceSeconds);
  return { type: "Warning", reason: "FailedPostStartHook", message: `PostStartHook failed: ${wrong}` };
}

/** kubelet waits for a postStart hook without end; a container that hangs in it would never be reported. */
const postStartSeconds = 60;
/** Enough for the message of an Event. */
const mostHookOutputBytes = 4096;

/** The grace period of a pod in seconds: that of its deletion, else its own. */
export function graceOf(pod: Pod): number {
  const { deletionTimestamp, deletionGracePeriodSeconds } = pod.metadata;
  const ofSpec = pod.spec.terminationGracePeriodSeconds ?? 30;
  return deletionTimestamp === undefined ? ofSpec : (deletionGracePeriodSeconds ?? ofSpec);
}

function stopText(why: Why, container: string, failed: FailedProbe | undefined): string {
  if (why === "unhealthy")
    return `Container ${container} failed ${failed?.kind ?? "liveness"} probe, will be restarted`;
  if (why === "changed") return `Container ${container} definition changed, will be restarted`;
  if (why === "resized") return `Container ${container} resize requires restart`;
  return `Stopping container ${container}`;
}
