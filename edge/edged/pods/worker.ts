import { isDeepStrictEqual } from "node:util";
import { UnavailableError } from "#shared/errors";
import { objectKey, type Container, type Pod, type PodStatus } from "#shared/kube";
import type { ContainerDetails } from "#edge/runtime";
import type { PodFacts } from "#edge/edged/environment";
import { PodVolumes, readTerminationLog, removePodDir, type PodVolumesOptions } from "#edge/edged/volumes";
import { refusePod } from "#edge/edged/security-context";
import type { PodEvent } from "#edge/edged/events";
import { sandboxSpec, type ClusterDns } from "./container-spec.ts";
import { crashEvent, failureEvent, fieldPathOf, pullBackoffEvent, unhealthyEvent } from "./events.ts";
import { PodContainers } from "./containers.ts";
import {
  PodMemory,
  currentSandbox,
  historyOf,
  planPod,
  sandboxName,
  type Action,
  type Plan,
} from "#edge/edged/pods/plan";
import { doubtsVolumes, startContainer, startOrRemove, terminationLogPath, type StartDeps } from "./start.ts";
import { podStatus } from "./status.ts";
import { graceOf, runPostStart, stopGracefully, stopText, type StopTools, type Why } from "./stop.ts";
import { Prober, probeTargets } from "#edge/edged/probes";

export interface PodWorkerDeps extends Omit<PodVolumesOptions, "onStale">, StartDeps {
  readonly dns: ClusterDns;
  readonly facts: () => Omit<PodFacts, "podIps">;
  readonly record: (pod: Pod, event: PodEvent) => void;
  readonly publish: (pod: Pod, status: PodStatus) => Promise<void>;
  /** Everything of the pod is gone from this node. */
  readonly onGone: (pod: Pod) => Promise<void>;
}

const awayRetryMs = 5000;
const mostTurns = 30;

/**
 * Brings one pod to what is wanted, one thing at a time: look, plan, act, until there is nothing to do. The latest
 * pod wins; a pod that began to end cannot be revived, and its grace can only shrink. Disposing leaves its
 * containers as they are.
 */
export class PodWorker implements AsyncDisposable {
  readonly #deps: PodWorkerDeps;
  readonly #memory: PodMemory;
  readonly #prober: Prober;
  readonly #closed = new AbortController();
  /** Aborts what a running pass waits for when the pod begins to end. */
  readonly #ending = new AbortController();
  readonly #containers: PodContainers;
  #pod: Pod;
  readonly #volumes: PodVolumes;
  #lastStatus: PodStatus | undefined;
  #graceSeconds: number;
  #stopping = new Set<string>();
  #dirty = false;
  #running: Promise<void> | undefined;
  #timer: Disposable | undefined;

  constructor(pod: Pod, deps: PodWorkerDeps) {
    this.#pod = pod;
    this.#deps = deps;
    this.#containers = new PodContainers(deps.runtime, pod.metadata.uid ?? "");
    this.#graceSeconds = graceOf(pod);
    const started = pod.status?.startTime === undefined ? NaN : Date.parse(pod.status.startTime);
    this.#memory = new PodMemory(Number.isNaN(started) ? deps.clock.nowMs() : started);
    this.#volumes = new PodVolumes({ ...deps, onStale: () => this.wake() });
    this.#prober = new Prober({
      runtime: deps.runtime,
      clock: deps.clock,
      onChange: () => this.wake(),
      onFailure: (container, kind, output) => {
        this.#record(container, unhealthyEvent(kind, output));
      },
    });
    if (pod.metadata.deletionTimestamp) this.#ending.abort();
  }

  get pod(): Pod {
    return this.#pod;
  }

  /** The pod as it is wanted now; undefined when it is not wanted any more. */
  submit(pod: Pod | undefined): void {
    if (pod) this.#pod = pod;
    if (!pod || pod.metadata.deletionTimestamp) {
      this.#shrinkGrace(graceOf(this.#pod));
      this.#ending.abort();
    }
    this.wake();
  }

  wake(): void {
    this.#dirty = true;
    this.#running ??= this.#loop();
  }

  /** Something happened to one of the containers: what is known of it is not to be trusted. */
  invalidate(id: string): void {
    this.#containers.invalidate(id);
    this.wake();
  }

  /** Files are written anew and what waited for an object is tried again. */
  refresh(): void {
    this.#volumes.stale();
    this.#memory.retryConfig();
    this.wake();
  }

  /** Something else gave way: a port may be free now. */
  retrySandbox(): void {
    if (this.#memory.succeeded(sandboxName)) this.wake();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort();
    this.#timer?.[Symbol.dispose]();
    this.#prober[Symbol.dispose]();
    this.#volumes[Symbol.dispose]();
    await this.#running;
  }

  async #loop(): Promise<void> {
    await Promise.resolve();
    while (this.#dirty && !this.#closed.signal.aborted) {
      this.#dirty = false;
      this.#timer?.[Symbol.dispose]();
      try {
        await this.#sync();
      } catch (error) {
        this.#failed(error);
      }
    }
    this.#running = undefined;
  }

  #failed(error: unknown): void {
    if (this.#closed.signal.aborted || (this.#ending.signal.aborted && this.#dirty)) return;
    const level = error instanceof UnavailableError ? "debug" : "warn";
    this.#deps.log[level]("cannot bring pod to what is wanted", { pod: objectKey(this.#pod), error });
    this.#wakeAt(this.#deps.clock.nowMs() + awayRetryMs);
  }

  async #sync(): Promise<void> {
    if (this.#ending.signal.aborted) return this.#terminate();
    await this.#observe();
    const inUse = this.#containers.all.some((one) => one.phase === "running");
    if (inUse) await this.#volumes.refresh(this.#pod, this.#facts());
    for (let turn = 0; turn < mostTurns; turn += 1) {
      const plan = this.#plan();
      const work = plan.actions.filter((action) => action.kind !== "wait");
      this.#tellWaits(plan);
      void this.#publish(plan);
      if (work.length === 0) return this.#wakeAt(plan.wakeAtMs, this.#memory.nextTurnMs());
      for (const action of work) {
        if (this.#stopped()) return;
        if (!(await this.#perform(action))) break;
      }
      if (this.#stopped()) return;
      await this.#observe();
    }
    this.#wakeAt(this.#deps.clock.nowMs() + 1000);
  }

  #stopped(): boolean {
    return this.#ending.signal.aborted || this.#closed.signal.aborted;
  }

  #plan(): Plan {
    const nowMs = this.#deps.clock.nowMs();
    return planPod({
      pod: this.#pod,
      containers: this.#containers.all,
      memory: this.#memory.view(this.#prober),
      nowMs,
    });
  }

  async #observe(): Promise<void> {
    await this.#containers.observe();
    this.#trackProbes();
  }

  #trackProbes(): void {
    const { podIps, hostIp } = this.#facts();
    const running = this.#containers.all.filter(
      (one) => one.phase === "running" && !this.#stopping.has(one.id),
    );
    const status = this.#lastStatus ?? this.#pod.status;
    this.#prober.track(probeTargets(this.#pod, running, { status, ip: podIps[0] ?? hostIp }));
  }

  /** @returns whether the rest of the plan still makes sense */
  async #perform(action: Action): Promise<boolean> {
    switch (action.kind) {
      case "stop":
        await this.#stop(action.target, action.why);
        return true;
      case "remove":
        await this.#deps.runtime.remove(action.target.id);
        return true;
      case "sandbox":
        return this.#guard(sandboxName, () => this.#startSandbox(action.attempt));
      case "start": {
        const done = await this.#guard(action.container.name, () => this.#start(action));
        return done || action.role === "container";
      }
      case "wait":
        return true;
    }
  }

  async #guard(name: string, work: () => Promise<void>): Promise<boolean> {
    try {
      await work();
      this.#memory.succeeded(name);
      return true;
    } catch (error) {
      if (error instanceof UnavailableError || this.#stopped()) throw error;
      this.#refused(name, error);
      return false;
    }
  }

  #refused(name: string, error: unknown): void {
    const { clock, log } = this.#deps;
    const container = this.#findContainer(name);
    const image = container?.image ?? "";
    const failure = this.#memory.failed(name, { error, image, nowMs: clock.nowMs() });
    if (doubtsVolumes(error)) this.#volumes.stale();
    const event = failureEvent(name, error, failure);
    this.#record(event.reason === "FailedMount" ? undefined : container, event);
    log.info("pod cannot go on", {
      pod: objectKey(this.#pod),
      container: name,
      reason: failure.reason,
      error,
    });
  }

  async #startSandbox(attempt: number): Promise<void> {
    const { runtime, dns, security } = this.#deps;
    this.#refuseUnserved();
    await this.#volumes.ensure(this.#pod, this.#facts());
    if (attempt > 0) {
      const message = "Pod sandbox changed, it will be killed and re-created.";
      this.#record(undefined, { type: "Normal", reason: "SandboxChanged", message });
    }
    const image = await runtime.ensurePauseImage();
    const id = await runtime.create(sandboxSpec(this.#pod, { attempt, image, dns, security }));
    await startOrRemove(runtime, id);
    const details = await runtime.inspect(id);
    if (!details)
      throw new UnavailableError(
        "sandbox-gone",
        `Cannot use sandbox of "${objectKey(this.#pod)}": it is gone`,
      );
    this.#containers.add(details);
  }

  /** A pod that cannot be had as it is written: all its containers say why they wait. */
  #refuseUnserved(): void {
    try {
      refusePod(this.#pod, this.#deps.security);
    } catch (error) {
      const nowMs = this.#deps.clock.nowMs();
      for (const { name, image = "" } of [
        ...(this.#pod.spec.initContainers ?? []),
        ...this.#pod.spec.containers,
      ])
        this.#memory.failed(name, { error, image, nowMs });
      throw error;
    }
  }

  async #start({ container, role, attempt }: Extract<Action, { kind: "start" }>): Promise<void> {
    const sandbox = currentSandbox(this.#containers.all);
    if (!sandbox) return;
    const [latest] = historyOf(this.#containers.all, container.name);
    const record = (event: PodEvent): void => this.#record(container, event);
    const input = {
      pod: this.#pod,
      container,
      role,
      attempt,
      sandboxId: sandbox.id,
      volumes: await this.#volumes.ensure(this.#pod, this.#facts()),
      facts: this.#facts(),
      record,
      signal: AbortSignal.any([this.#closed.signal, this.#ending.signal]),
    };
    const id = await startContainer(input, this.#deps);
    const wrong = await runPostStart(id, this.#stopTools(container, this.#graceSeconds));
    if (wrong) record(wrong);
    if (latest?.phase === "exited" && latest.identity.sandboxId === sandbox.id)
      this.#memory.restarted(latest);
  }

  #stopTools(container: Container | undefined, graceSeconds: number): StopTools {
    const { runtime, clock } = this.#deps;
    const { podIps, hostIp } = this.#facts();
    return { runtime, clock, graceSeconds, container, ip: podIps[0] ?? hostIp, signal: this.#closed.signal };
  }

  async #stop(target: ContainerDetails, why: Why): Promise<void> {
    const container = this.#findContainer(target.identity.container);
    if (container) {
      const message = stopText(why, container.name);
      this.#record(container, { type: "Normal", reason: "Killing", message });
    }
    this.#stopping.add(target.id);
    try {
      const graceSeconds = target.identity.role === "sandbox" ? 0 : this.#graceSeconds;
      await stopGracefully(target, this.#stopTools(container, graceSeconds));
    } finally {
      this.#stopping.delete(target.id);
      this.#containers.invalidate(target.id);
    }
  }

  #shrinkGrace(graceSeconds: number): void {
    if (this.#ending.signal.aborted && graceSeconds >= this.#graceSeconds) return;
    this.#graceSeconds = graceSeconds;
    for (const id of this.#stopping) {
      const shorter = this.#deps.runtime.stop(id, graceSeconds);
      shorter.catch((error: unknown) =>
        this.#deps.log.debug("cannot shorten a stop", { pod: objectKey(this.#pod), error }),
      );
    }
  }

  async #terminate(): Promise<void> {
    const { runtime, podDir } = this.#deps;
    await this.#observe();
    const running = this.#containers.all.filter((one) => one.phase === "running");
    const mains = running.filter((one) => one.identity.role !== "sandbox");
    await Promise.all(mains.map((target) => this.#stop(target, "deleted")));
    await Promise.all(
      running.filter((one) => !mains.includes(one)).map((target) => this.#stop(target, "deleted")),
    );
    await this.#observe();
    if (this.#containers.all.length > 0)
      await this.#publish({ outcome: "finished", actions: [], wakeAtMs: undefined });
    await Promise.all(this.#containers.all.map(({ id }) => runtime.remove(id)));
    removePodDir(podDir);
    await this.#deps.onGone(this.#pod);
    this.#dirty = false;
    this.#closed.abort();
    this.#prober[Symbol.dispose]();
    this.#volumes[Symbol.dispose]();
  }

  #facts(): PodFacts {
    const facts = this.#deps.facts();
    const ips = currentSandbox(this.#containers.all)?.ips ?? [];
    return { ...facts, podIps: this.#pod.spec.hostNetwork ? [facts.hostIp] : ips };
  }

  async #publish(plan: Plan): Promise<void> {
    const status = podStatus({
      pod: this.#pod,
      containers: this.#containers.all,
      memory: this.#memory.view(this.#prober),
      outcome: plan.outcome,
      previous: this.#lastStatus,
      hostIp: this.#facts().hostIp,
      nowMs: this.#deps.clock.nowMs(),
      ready: (id) => this.#prober.ready(id),
      terminationMessage: (id) => this.#terminationMessage(id),
    });
    if (isDeepStrictEqual(status, this.#lastStatus)) return;
    this.#lastStatus = status;
    await this.#deps.publish(this.#pod, status);
  }

  #terminationMessage(id: string): string | undefined {
    const identity = this.#containers.find(id)?.identity;
    if (!identity) return undefined;
    return readTerminationLog(terminationLogPath(this.#deps.podDir, identity.container, identity.attempt));
  }

  #tellWaits(plan: Plan): void {
    for (const action of plan.actions) {
      if (action.kind !== "wait") continue;
      const container = this.#findContainer(action.container);
      const [latest] = historyOf(this.#containers.all, action.container);
      if (!container || !latest || !this.#memory.firstWait(latest.id)) continue;
      this.#record(container, crashEvent(this.#pod, container));
    }
    for (const [name, image] of this.#memory.turnPulls(this.#deps.clock.nowMs())) {
      this.#record(this.#findContainer(name), pullBackoffEvent(image));
    }
  }

  #findContainer(name: string): Container | undefined {
    return [...this.#pod.spec.containers, ...(this.#pod.spec.initContainers ?? [])].find(
      (one) => one.name === name,
    );
  }

  #record(container: Container | undefined, event: PodEvent): void {
    this.#deps.record(this.#pod, { ...event, ...fieldPathOf(this.#pod, container) });
  }

  #wakeAt(...times: (number | undefined)[]): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    const known = times.filter((ms) => ms !== undefined);
    if (known.length === 0 || this.#closed.signal.aborted) return;
    const wait = Math.max(0, Math.min(...known) - this.#deps.clock.nowMs());
    // A timer holds 31 bits of milliseconds.
    this.#timer = this.#deps.clock.after(Math.min(wait, 2 ** 31 - 1), () => this.wake());
  }
}
