import type { Clock } from "#shared/clock";
import { UnavailableError, describeError } from "#shared/errors";
import type { Container, Pod, PodStatus, Probe } from "#shared/kube";
import { withDeadline } from "#shared/lifecycle";
import type { ContainerDetails, ContainerRuntime } from "#edge/runtime";
import { runProbe, type ProbeTarget } from "./run-probe.ts";

export type ProbeKind = "startup" | "liveness" | "readiness";

export interface ProberOptions {
  readonly runtime: ContainerRuntime;
  readonly clock: Clock;
  /** A result changed what the pod's status or plan depends on. */
  readonly onChange: () => void;
  readonly onFailure: (container: Container, kind: ProbeKind, output: string) => void;
}

/** The probe because of which a container has to be restarted. */
export interface FailedProbe {
  readonly kind: ProbeKind;
  readonly probe: Probe;
}

interface Tracked {
  readonly stop: AbortController;
  ready: boolean;
  started: boolean;
  failed: FailedProbe | undefined;
}

interface Counted {
  readonly kind: ProbeKind;
  readonly probe: Probe;
  /** The failure; undefined when it passed. */
  readonly result: string | undefined;
  readonly run: { good: number; bad: number };
}

/** Runs the probes of the running containers of one pod and keeps their results (kubelet's prober_manager and worker). */
export class Prober implements Disposable {
  readonly #options: ProberOptions;
  readonly #tracked = new Map<string, Tracked>();

  constructor(options: ProberOptions) {
    this.#options = options;
  }

  /** Starts probing new containers and stops for those that are not listed any more. */
  track(targets: readonly ProbeTarget[]): void {
    const ids = new Set(targets.map((target) => target.id));
    for (const [id, tracked] of this.#tracked) {
      if (ids.has(id)) continue;
      tracked.stop.abort();
      this.#tracked.delete(id);
    }
    for (const target of targets) if (!this.#tracked.has(target.id)) this.#begin(target);
  }

  ready(id: string): boolean {
    const tracked = this.#tracked.get(id);
    return tracked ? tracked.ready && tracked.started : false;
  }

  started(id: string): boolean {
    return this.#tracked.get(id)?.started ?? false;
  }

  /** Containers whose liveness or startup probe failed for good. */
  unhealthy(): ReadonlySet<string> {
    return new Set([...this.#tracked].filter(([, { failed }]) => failed).map(([id]) => id));
  }

  failedProbe(id: string): FailedProbe | undefined {
    return this.#tracked.get(id)?.failed;
  }

  [Symbol.dispose](): void {
    this.track([]);
  }

  #begin(target: ProbeTarget): void {
    const { startupProbe, readinessProbe } = target.container;
    const tracked: Tracked = {
      stop: new AbortController(),
      ready: !readinessProbe || target.wasReady,
      started: !startupProbe || target.wasReady,
      failed: undefined,
    };
    this.#tracked.set(target.id, tracked);
    if (startupProbe && !tracked.started) this.#follow(target, tracked, "startup", startupProbe);
    else this.#beginMain(target, tracked);
  }

  #beginMain(target: ProbeTarget, tracked: Tracked): void {
    const { livenessProbe, readinessProbe } = target.container;
    if (livenessProbe) this.#follow(target, tracked, "liveness", livenessProbe);
    if (readinessProbe) this.#follow(target, tracked, "readiness", readinessProbe);
  }

  #follow(target: ProbeTarget, tracked: Tracked, kind: ProbeKind, probe: Probe): void {
    const { signal } = tracked.stop;
    this.#run(target, tracked, { kind, probe }).catch((error: unknown) => {
      if (!signal.aborted) this.#options.onFailure(target.container, kind, describeError(error));
    });
  }

  async #run(target: ProbeTarget, tracked: Tracked, what: { kind: ProbeKind; probe: Probe }): Promise<void> {
    const { kind, probe } = what;
    const { clock } = this.#options;
    const { signal } = tracked.stop;
    // A clock that was set back meanwhile must not delay the first probe.
    const ranMs = Math.max(0, clock.nowMs() - target.startedAtMs);
    const delay = (probe.initialDelaySeconds ?? 0) * 1000 - ranMs;
    if (delay > 0) await clock.sleep(delay, { signal });
    const run = { good: 0, bad: 0 };
    for (;;) {
      const result = await this.#try(target, probe, signal);
      signal.throwIfAborted();
      if (result !== "unknown") this.#count(target, tracked, { kind, probe, result, run });
      if (kind === "startup" && tracked.started) return;
      await clock.sleep(Math.max(1, probe.periodSeconds || 10) * 1000, { signal });
    }
  }

  #count(target: ProbeTarget, tracked: Tracked, what: Counted): void {
    const { kind, probe, result, run } = what;
    run.good = result === undefined ? run.good + 1 : 0;
    run.bad = result === undefined ? 0 : run.bad + 1;
    if (result !== undefined) this.#options.onFailure(target.container, kind, result);
    const passed = run.good >= (probe.successThreshold ?? 1);
    if (passed || run.bad >= (probe.failureThreshold ?? 3))
      this.#settle(target, tracked, { kind, probe, passed });
  }

  #settle(target: ProbeTarget, tracked: Tracked, what: FailedProbe & { readonly passed: boolean }): void {
    const { kind, probe, passed } = what;
    const stateOf = ({ ready, started, failed }: Tracked): string => `${ready} ${started} ${failed?.kind}`;
    const before = stateOf(tracked);
    if (kind === "readiness") tracked.ready = passed;
    else if (!passed) tracked.failed = { kind, probe };
    else if (kind === "startup" && !tracked.started) {
      tracked.started = true;
      this.#beginMain(target, tracked);
    }
    if (before !== stateOf(tracked)) this.#options.onChange();
  }

  /** @returns undefined when it passed, what was wrong when not, "unknown" when it could not be tried */
  async #try(target: ProbeTarget, probe: Probe, signal: AbortSignal): Promise<string | undefined> {
    const ms = Math.max(1, probe.timeoutSeconds || 1) * 1000;
    const { clock, runtime } = this.#options;
    try {
      const work = (inner: AbortSignal): Promise<string | undefined> =>
        runProbe(target, probe, { runtime, signal: inner });
      return await withDeadline(clock, { ms, what: "probe", signal }, work);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof UnavailableError && error.code === "engine-away") return "unknown";
      return describeError(error);
    }
  }
}

/** Each running container of a pod with its spec. */
export function probeTargets(
  pod: Pod,
  running: readonly ContainerDetails[],
  known: { readonly status: PodStatus | undefined; readonly ip: string },
): ProbeTarget[] {
  const all = [...(pod.spec.initContainers ?? []), ...pod.spec.containers];
  const ready = (known.status?.containerStatuses ?? [])
    .filter((one) => one.ready)
    .map((one) => one.containerID);
  return running.flatMap(({ id, uri, identity, startedAtMs }) => {
    const container = all.find((one) => one.name === identity.container);
    const wasReady = ready.includes(uri);
    return container ? [{ id, container, ip: known.ip, startedAtMs: startedAtMs ?? 0, wasReady }] : [];
  });
}
