import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { UnavailableError } from "#shared/errors";
import type { Pod, PodStatus } from "#shared/kube";
import type { PodFacts } from "#edge/edged/environment";
import { earlierRuns, Resizer, sandboxName, type Action, type ResizerDeps } from "#edge/edged/pods/plan";
import { Prober, probeTargets } from "#edge/edged/probes";
import { PodVolumes, removePodDir, type PodVolumesOptions, type ReadMounts } from "#edge/edged/volumes";
import type { ContainerDetails } from "#edge/runtime";
import type { Refusal } from "#edge/edged/pods/admission";
import { syncEvent, unhealthyEvent } from "./events.ts";
import { PodReporter, type PodReporterDeps } from "./reporter.ts";
import { doubtsVolumes, PodStarter, type StartDeps } from "./start.ts";
import { evictedReason, hasSameFacts, PodState, stageOf, type Stage } from "./state.ts";
import type { PodEnding } from "./status.ts";
import { PodStopper } from "./stop.ts";

export interface PodWorkerDeps
  extends Omit<PodVolumesOptions, "onStale" | "signal">, StartDeps, PodReporterDeps, ResizerDeps {
  readonly facts: () => Omit<PodFacts, "podIps">;
  /** Why this node does not run a new pod, beside those that it has admitted. */
  readonly findNoRoom: (pod: Pod) => Refusal | undefined;
  /** What else is against a new pod; gives it its devices when nothing is. */
  readonly admit: (pod: Pod) => Promise<Refusal | undefined>;
  readonly readMounts?: ReadMounts | undefined;
  /** Nothing of the pod is left on this node. */
  readonly onGone: (pod: Pod) => Promise<void>;
}

/** While the engine cannot be reached; its return wakes the worker earlier. */
const retryMs = 5000;
/** A plan that never comes to rest is a bug: after so many turns the worker pauses instead of loading the engine. */
const mostTurns = 30;
const pauseMs = 1000;

/**
 * Brings one pod to its desired state, one step at a time: observe, plan, act, until there is nothing to do. As kubelet's
 * pod_workers: only the latest pod counts, no two steps of a pod run at once, a pod whose termination has begun cannot be
 * revived, and its grace period can only shrink. Disposing leaves its containers running.
 */
export class PodWorker implements AsyncDisposable {
  readonly #deps: PodWorkerDeps;
  readonly #state: PodState;
  readonly #volumes: PodVolumes;
  readonly #prober: Prober;
  readonly #reporter: PodReporter;
  readonly #stopper: PodStopper;
  readonly #starter: PodStarter;
  readonly #resizer: Resizer;
  readonly #closed = new AbortController();
  /** Aborts what a pass waits for when the termination of the pod begins. */
  readonly #ending = new AbortController();
  /** The same when this node ends the pod and its object stays. */
  readonly #interrupt = new AbortController();
  #ended: PromiseWithResolvers<void> | undefined;
  #keepsFiles = false;
  #suspended: PromiseWithResolvers<void> | undefined;
  #isEnded = false;
  /** Of a pod that this node ended: made while its containers were there. */
  #lastStatus: PodStatus | undefined;
  #stage: Stage;
  #dirty = false;
  #running: Promise<void> | undefined;
  #timer: Disposable | undefined;

  constructor(pod: Pod, deps: PodWorkerDeps) {
    const { runtime, clock } = deps;
    this.#deps = deps;
    this.#stage = stageOf(pod);
    this.#state = new PodState(pod, deps);
    const signal = AbortSignal.any([this.#closed.signal, this.#ending.signal, this.#interrupt.signal]);
    this.#volumes = new PodVolumes({ ...deps, onStale: () => this.wake(), signal });
    this.#prober = new Prober({
      runtime,
      clock,
      onChange: () => this.wake(),
      onFailure: (container, kind, output) => this.#reporter.record(container, unhealthyEvent(kind, output)),
    });
    this.#resizer = new Resizer(pod, deps);
    this.#reporter = new PodReporter(this.#state, { prober: this.#prober, resizer: this.#resizer }, deps);
    const reporter = this.#reporter;
    this.#stopper = new PodStopper(this.#state, { ...deps, reporter, signal: this.#closed.signal });
    this.#starter = new PodStarter(this.#state, deps, {
      volumes: this.#volumes,
      reporter,
      stopper: this.#stopper,
      signal,
    });
    if (pod.metadata.deletionTimestamp) this.#ending.abort();
  }

  get pod(): Pod {
    return this.#state.pod;
  }

  get kind(): PodWorkerDeps["kind"] {
    return this.#deps.kind;
  }

  get containers(): readonly ContainerDetails[] {
    return this.#state.containers.all;
  }

  get status(): PodStatus | undefined {
    return this.#reporter.status;
  }

  /** Whether it takes ports and resources from pods to come. */
  get holdsRoom(): boolean {
    return this.#stage === "admitted" && this.isActive;
  }

  /** Whether it runs or is going to: neither over nor about to end (kubelet: GetActivePods). */
  get isActive(): boolean {
    const { phase } = this.status ?? {};
    const isOver = phase === "Succeeded" || phase === "Failed";
    return this.#stage !== "over" && !isOver && !this.#ending.signal.aborted;
  }

  /**
   * Ends the pod for good, as kubelet's killPodNow: its containers are stopped, with their files and those of its volumes
   * they are removed, and the pod is Failed.
   * @returns resolves when nothing of it is left but its status, or edged is disposed
   */
  end(ending: PodEnding): Promise<void> {
    if (this.#ended) return this.#ended.promise;
    this.#ended = Promise.withResolvers<void>();
    this.#keepsFiles = ending.keepsFiles ?? false;
    this.#stage = "over";
    this.#reporter.end(ending);
    this.#stopper.capGrace(ending.graceSeconds);
    this.#interrupt.abort();
    this.wake();
    return this.#ended.promise;
  }

  /**
   * Stops its containers and starts none any more, because the machine shuts down: the pod runs again under the next edgecore.
   * @returns resolves when none runs, or edged is disposed
   */
  suspend(graceSeconds: number): Promise<void> {
    if (this.#suspended) return this.#suspended.promise;
    this.#suspended = Promise.withResolvers<void>();
    this.#stopper.capGrace(graceSeconds);
    this.#interrupt.abort();
    this.wake();
    return this.#suspended.promise;
  }

  /**
   * Removes what only tells of the past, because the disk is full: all containers and files of a pod that has ended, and earlier
   * runs of containers (kubelet: DeleteAllUnusedContainers).
   */
  async reclaim(): Promise<void> {
    if (this.#running || this.#stopped()) return;
    const { all } = this.#state.containers;
    const isRunning = all.some(({ phase }) => phase === "running");
    if (!this.isActive && !isRunning) {
      // Without its containers it would look as if it had never run.
      this.#stage = "over";
      return this.#removeRest();
    }
    await this.#state.containers.removeAll(earlierRuns(all));
  }

  /** The desired pod; undefined when it is to be removed. */
  submit(pod: Pod | undefined): void {
    if (pod) this.#take(this.#stage === "admitted" ? this.#resizer.take(pod) : pod);
    if (!pod || pod.metadata.deletionTimestamp) {
      this.#stopper.shortenGrace();
      this.#ending.abort();
    }
    this.wake();
  }

  wake(): void {
    this.#dirty = true;
    this.#running ??= this.#loop();
  }

  /** Something happened to a container: it is inspected by the next pass. */
  invalidate(id: string): void {
    this.#state.containers.invalidate(id);
    this.wake();
  }

  /** Volumes are written again, and what waits for a ConfigMap or Secret is retried. */
  refresh(): void {
    this.#volumes.stale();
    this.#state.memory.retryConfig();
    this.wake();
  }

  /** Images were loaded: what waits for one is retried. */
  retryImages(): void {
    if (this.#state.memory.retryImages()) this.wake();
  }

  /** Another pod was removed: a host port, or room, may be free now. */
  retryRoom(): void {
    const isBlocked = this.#state.memory.succeeded(sandboxName);
    if (isBlocked || this.#resizer.pending) this.wake();
  }

  /** Files of downwardAPI volumes are made from labels, annotations and resources. */
  #take(pod: Pod): void {
    if (!hasSameFacts(pod, this.#state.pod)) this.#volumes.stale();
    this.#state.pod = pod;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort();
    this.#timer?.[Symbol.dispose]();
    this.#prober[Symbol.dispose]();
    this.#volumes[Symbol.dispose]();
    await this.#running;
    this.#ended?.resolve();
    this.#suspended?.resolve();
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
    const isInterrupted = this.#ending.signal.aborted || this.#interrupt.signal.aborted;
    if (this.#closed.signal.aborted || (isInterrupted && this.#dirty)) return;
    const level = error instanceof UnavailableError ? "debug" : "warn";
    this.#deps.log[level]("cannot sync pod", { pod: this.#state.key, error });
    if (level === "warn") this.#reporter.record(undefined, syncEvent(error));
    this.#wakeAt(this.#deps.clock.nowMs() + retryMs);
  }

  async #sync(): Promise<void> {
    if (this.#ending.signal.aborted) return this.#terminate();
    if (this.#suspended) return this.#halt();
    if (this.#stage === "new") await this.#enter();
    if (this.#stage === "over") return this.#stopRest();
    if (this.#stopped()) return;
    return this.#run();
  }

  /** Step by step, until there is nothing to do. */
  async #run(): Promise<void> {
    const { containers, memory } = this.#state;
    this.#take(this.#resizer.retry() ?? this.#state.pod);
    await this.#observe();
    const inUse = containers.all.some((one) => one.phase === "running");
    if (inUse) await this.#volumes.refresh(this.#state.pod, this.#state.facts());
    for (let turn = 0; turn < mostTurns; turn += 1) {
      const plan = this.#state.plan(this.#prober, this.#reporter.status);
      const work = plan.actions.filter((action) => action.kind !== "wait");
      this.#reporter.recordWaits(plan);
      void this.#reporter.publish(plan.outcome);
      if (work.length === 0) return this.#wakeAt(plan.wakeAtMs, memory.nextTurnMs(), this.#resizer.retryAtMs);
      for (const action of work) {
        if (this.#stopped()) return;
        if (!(await this.#perform(action))) break;
      }
      if (this.#stopped()) return;
      await this.#observe();
    }
    this.#wakeAt(this.#deps.clock.nowMs() + pauseMs);
  }

  /** Room is taken before the Node is asked about, so that no two pods get the same. */
  async #enter(): Promise<void> {
    const { pod } = this.#state;
    const noRoom = this.#deps.findNoRoom(pod);
    if (!noRoom) this.#stage = "admitted";
    const again = (error: unknown): never => {
      this.#stage = "new";
      throw error;
    };
    const refusal = noRoom ?? (await this.#deps.admit(pod).catch(again));
    if (!refusal || this.#stopped()) return;
    this.#stage = "over";
    await this.#reporter.reject(refusal);
  }

  async #halt(): Promise<void> {
    await this.#observe();
    await this.#stopper.stopAll("ended");
    await this.#observe();
    await this.#reporter.publish("running");
    this.#suspended?.resolve();
  }

  /** What still runs of a pod that has ended, or was refused. */
  async #stopRest(): Promise<void> {
    await this.#observe();
    const isEnding = this.#ended !== undefined && !this.#isEnded;
    if (isEnding) await this.#reporter.publish("running");
    await this.#stopper.stopAll(isEnding ? "ended" : "finished");
    if (!isEnding && this.status?.reason !== evictedReason) return;
    await this.#observe();
    if (isEnding) this.#lastStatus ??= this.#reporter.compose("ended");
    if (!this.#keepsFiles) await this.#removeRest();
    this.#isEnded = true;
    // What it kept is free then, also for who stores this.
    if (this.#lastStatus) await this.#reporter.send(this.#lastStatus);
    this.#ended?.resolve();
  }

  /** Its files were the reason, or may be needed by others: kubelet removes those of an evicted pod at once. */
  async #removeRest(): Promise<void> {
    const { containers } = this.#state;
    await containers.removeAll(containers.all);
    this.#volumes.stale();
    if (existsSync(dirname(this.#deps.podDir))) await removePodDir(this.#deps.podDir, this.#deps);
  }

  #stopped(): boolean {
    return [this.#ending, this.#interrupt, this.#closed].some(({ signal }) => signal.aborted);
  }

  async #observe(): Promise<void> {
    const { pod, containers } = this.#state;
    await this.#state.observe();
    const running = containers.all.filter(
      (one) => one.phase === "running" && !this.#stopper.isStopping(one.id),
    );
    const known = { status: this.#reporter.status, ip: this.#state.address() };
    this.#prober.track(probeTargets(pod, running, known));
  }

  /** @returns whether the rest of the plan still makes sense */
  async #perform(action: Action): Promise<boolean> {
    switch (action.kind) {
      case "stop":
        await this.#stopper.stop(action.target, action.why, this.#prober.failedProbe(action.target.id));
        return true;
      case "remove":
        await this.#state.containers.remove(action.target);
        return true;
      case "sandbox":
        return this.#guard(sandboxName, () => this.#starter.startSandbox(action.attempt));
      case "start": {
        const done = await this.#guard(action.container.name, () => this.#starter.startContainer(action));
        return done || action.role !== "init";
      }
      case "resize":
        return this.#guard(action.container.name, () => this.#starter.resize(action));
      case "wait":
        return true;
    }
  }

  async #guard(name: string, work: () => Promise<void>): Promise<boolean> {
    try {
      await work();
      this.#state.memory.succeeded(name);
      return true;
    } catch (error) {
      if (error instanceof UnavailableError || this.#stopped()) throw error;
      if (doubtsVolumes(error)) this.#volumes.stale();
      this.#reporter.recordFailure(name, error);
      return false;
    }
  }

  async #terminate(): Promise<void> {
    const { podDir } = this.#deps;
    const { containers } = this.#state;
    await this.#observe();
    await this.#stopper.stopAll("deleted");
    await this.#observe();
    if (containers.all.length > 0) await this.#reporter.publish("finished");
    await containers.removeAll(containers.all);
    await removePodDir(podDir, this.#deps);
    await this.#deps.onGone(this.#state.pod);
    this.#dirty = false;
    this.#closed.abort();
    this.#prober[Symbol.dispose]();
    this.#volumes[Symbol.dispose]();
    this.#ended?.resolve();
    this.#suspended?.resolve();
  }

  #wakeAt(...times: (number | undefined)[]): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    const known = times.filter((ms) => ms !== undefined);
    if (known.length === 0 || this.#closed.signal.aborted) return;
    const wait = Math.max(0, Math.min(...known) - this.#deps.clock.nowMs());
    this.#timer = this.#deps.clock.after(wait, () => this.wake());
  }
}
