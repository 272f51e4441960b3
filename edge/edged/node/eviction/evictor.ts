import type { Clock } from "#shared/clock";
import type { EvictionConfig, EvictionSignal } from "#shared/config";
import { describeError, UnavailableError } from "#shared/errors";
import type { Logger } from "#shared/log";
import { isCriticalPod } from "#shared/scheduling";
import type { PodEvent } from "#edge/edged/events";
import type { MachineLoad } from "#edge/edged/node";
import type { ActivePod } from "#edge/edged/pods";
import { totalOf, type PodStorage } from "#edge/edged/node/usage";
import { evicted, evictionMessage, type Shortage } from "./messages.ts";
import { Pressure } from "./pressure.ts";
import { rankPods, type PodUse } from "./ranking.ts";
import { hasStorageLimits, StorageLimits } from "./storage-limits.ts";
import {
  isPassed,
  observe,
  resourceOf,
  sharesDisk,
  thresholdsOf,
  type ReclaimedResource,
  type Threshold,
} from "./thresholds.ts";

export interface EvictorDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly readLoad: () => Promise<MachineLoad>;
  readonly pods: () => readonly ActivePod[];
  readonly measureMemory: () => Promise<ContainerUse>;
  readonly measureProcesses: () => Promise<ContainerUse>;
  readonly measureStorage: (pod: ActivePod, signal: AbortSignal) => Promise<PodStorage>;
  /** Removes what nobody needs from the disk of images and containers: dead containers, unused images. */
  readonly reclaim: (signal: AbortSignal) => Promise<void>;
  /** An Event of the Node. */
  readonly record: (event: PodEvent) => void;
  /** Conditions of the Node changed. */
  readonly onChange: () => void;
}

/** What the running containers of pods use of something: by uid and name of the container. */
export type ContainerUse = ReadonlyMap<string, ReadonlyMap<string, number>>;

/** A few system calls; memory and disks fill within seconds. kubelet looks each 10 s. */
const lookEveryMs = 3000;
/** kubelet: podCleanupTimeout. */
const longestEndMs = 30_000;
/** Images are removed one after the other; memory does not wait for all of them. */
const longestReclaimMs = 120_000;
/** kubelet: immediateEvictionGracePeriodSeconds. */
const immediateSeconds = 1;

/**
 * Ends pods when the node runs short of memory, disk or processes, one at a time, and those that take more of the disk than
 * they may: kubelet's eviction manager (pkg/kubelet/eviction).
 */
export class Evictor implements AsyncDisposable {
  readonly #config: EvictionConfig;
  readonly #deps: EvictorDeps;
  readonly #pressure: Pressure;
  readonly #limits: StorageLimits;
  readonly #closed = new AbortController();
  #running: Promise<void> | undefined;
  /** By the clock that never goes back. */
  #lookedAtMs: number;
  /** What was last said about; not repeated with each look. */
  #announced = "";
  #failure = "";
  #enforcing: Promise<void> | undefined;

  constructor(config: EvictionConfig, deps: EvictorDeps) {
    const { clock, measureStorage } = deps;
    this.#config = config;
    this.#deps = deps;
    this.#pressure = new Pressure(thresholdsOf(config), config.transitionMs);
    this.#lookedAtMs = clock.monotonicMs();
    const measure = (pod: ActivePod): Promise<PodStorage> => measureStorage(pod, this.#closed.signal);
    this.#limits = new StorageLimits({ clock, measure });
  }

  /** Types of the Node's conditions of pressure that are True. */
  get pressures(): readonly string[] {
    return this.#pressure.conditions;
  }

  /** Since when nobody has looked what the node runs short of; some seconds while all is well. */
  get stalledMs(): number {
    return this.#deps.clock.monotonicMs() - this.#lookedAtMs;
  }

  /** Looks once; from then on in intervals, and ends pods where it has to. */
  async start(): Promise<void> {
    await this.#look();
    this.#running = this.#loop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort();
    await Promise.all([this.#running, this.#enforcing]);
  }

  async #loop(): Promise<void> {
    const { signal } = this.#closed;
    while (!signal.aborted) {
      try {
        if (!(await this.#pass())) await this.#deps.clock.sleep(lookEveryMs, { signal });
      } catch (error) {
        if (signal.aborted) return;
        const text = describeError(error);
        const level = error instanceof UnavailableError || text === this.#failure ? "debug" : "warn";
        this.#deps.log[level]("cannot look for pods to evict", { error: text });
        this.#failure = text;
        await this.#deps.clock.sleep(lookEveryMs, { signal }).catch(() => undefined);
      }
    }
  }

  /** @returns whether there may be more to free at once */
  async #pass(): Promise<boolean> {
    await this.#look();
    // Counting files may take long, and memory does not wait for it.
    this.#enforcing ??= this.#enforceLimits().finally(() => (this.#enforcing = undefined));
    const [threshold] = this.#pressure.due;
    if (threshold) return this.#relieve(threshold);
    this.#announced = "";
    return false;
  }

  async #look(): Promise<void> {
    const { clock, log, readLoad, onChange } = this.#deps;
    const before = this.#pressure.conditions.join(" ");
    const observations = observe(await readLoad());
    this.#lookedAtMs = clock.monotonicMs();
    this.#pressure.observe(observations, clock.monotonicMs());
    const now = this.#pressure.conditions.join(" ");
    if (now !== before) {
      log[now === "" ? "info" : "warn"]("pressure on the node changed", { conditions: now || "none" });
      onChange();
    }
  }

  /** Never rejects. */
  async #enforceLimits(): Promise<void> {
    const limited = this.#deps.pods().filter(({ pod }) => hasStorageLimits(pod) && !isCriticalPod(pod));
    const over = await this.#limits.find(limited);
    if (this.#closed.signal.aborted) return;
    const ending = { graceSeconds: immediateSeconds, isDisruption: false };
    await Promise.all(over.map(({ pod, message }) => this.#end(pod, { message, ...ending })));
  }

  /** Frees what nobody needs, then ends one pod. @returns whether more may be to free at once */
  async #relieve(threshold: Threshold): Promise<boolean> {
    const resource = resourceOf(threshold.signal);
    this.#announce(threshold, resource);
    const load = await this.#deps.readLoad();
    const isShared = sharesDisk(load);
    if (isShared || threshold.signal.startsWith("imagefs.")) {
      await this.#reclaim();
      if (!isPassed(threshold, observe(await this.#deps.readLoad()), true)) return false;
    }
    const observation = observe(load).get(threshold.signal);
    return this.#endOne({ resource, threshold, observation }, isShared);
  }

  /** What nobody needs goes before pods do. */
  async #reclaim(): Promise<void> {
    const { signal } = this.#closed;
    const reclaimed = this.#deps.reclaim(signal).catch((error: unknown) => {
      this.#deps.log.debug("cannot reclaim disk space", { error: describeError(error) });
    });
    await this.#atMost(longestReclaimMs, reclaimed);
    signal.throwIfAborted();
  }

  async #endOne(shortage: Shortage, isShared: boolean): Promise<boolean> {
    const { resource, threshold } = shortage;
    const pods = this.#deps.pods().filter(({ pod }) => !isCriticalPod(pod));
    const used = await this.#measure(resource, pods, isShared ? undefined : threshold.signal);
    const useOf = ({ pod }: ActivePod): PodUse => totalUse(resource, used.get(pod.metadata.uid ?? ""));
    const worth = pods.filter((pod) => isWorthEnding(resource, useOf(pod)));
    const [first] = rankPods(worth, resource, useOf);
    if (!first) {
      this.#sayOnce(`nothing for ${threshold.signal}`, "no pod can be evicted", { signal: threshold.signal });
      return false;
    }
    // Of what is counted in pieces kubelet's message says nothing.
    const isSize = resource === "memory" || resource === "ephemeral-storage";
    const containers =
      (isSize ? used.get(first.pod.metadata.uid ?? "") : undefined) ?? new Map<string, number>();
    const message = evictionMessage(first.pod, shortage, containers);
    const graceSeconds = threshold.isHard ? immediateSeconds : this.#config.maxPodGraceSeconds;
    await this.#end(first, { message, graceSeconds, isDisruption: true });
    // Memory and processes may be gone within a second; a disk is looked at again in a while.
    return resource === "memory" || resource === "pids";
  }

  /**
   * By uid, and in it by container; volumes count under a name that no container has. `signal`: what is measured is on that
   * disk alone, where images have one of their own.
   */
  async #measure(
    resource: ReclaimedResource,
    pods: readonly ActivePod[],
    signal: EvictionSignal | undefined,
  ): Promise<ContainerUse> {
    const { clock, measureMemory, measureProcesses, measureStorage } = this.#deps;
    if (resource === "memory") return measureMemory();
    if (resource === "pids") return measureProcesses();
    const all = new Map<string, ReadonlyMap<string, number>>();
    for (const one of pods) {
      const used = await measureStorage(one, this.#closed.signal).catch(unlessAway);
      this.#lookedAtMs = clock.monotonicMs();
      if (!used) continue;
      const volumes = totalOf({ containers: new Map(), volumes: used.volumes });
      const parts = [
        ...(signal?.startsWith("nodefs.") === true ? [] : used.containers),
        ...(signal?.startsWith("imagefs.") === true ? [] : [["/volumes", volumes] as const]),
      ];
      all.set(one.pod.metadata.uid ?? "", new Map(parts));
    }
    return all;
  }

  async #end(
    pod: ActivePod,
    ending: { readonly message: string; readonly graceSeconds: number; readonly isDisruption: boolean },
  ): Promise<void> {
    await this.#atMost(longestEndMs, pod.end({ reason: evicted, ...ending }));
  }

  /** Waits for something that goes on by itself when it takes longer. */
  async #atMost(ms: number, work: Promise<unknown>): Promise<void> {
    const { clock } = this.#deps;
    const waited = new AbortController();
    const limit = clock.sleep(ms, { signal: AbortSignal.any([this.#closed.signal, waited.signal]) });
    await Promise.race([work, limit.catch(() => undefined)]);
    waited.abort();
    this.#lookedAtMs = clock.monotonicMs();
  }

  #announce({ signal }: Threshold, resource: ReclaimedResource): void {
    const isNew = this.#sayOnce(`reclaim for ${signal}`, "an eviction threshold is passed", { signal });
    const message = `Attempting to reclaim ${resource}`;
    if (isNew) this.#deps.record({ type: "Warning", reason: "EvictionThresholdMet", message });
  }

  #sayOnce(key: string, text: string, fields: Readonly<Record<string, string>>): boolean {
    if (this.#announced.includes(key)) return false;
    this.#announced += `${key}\n`;
    this.#deps.log.warn(text, fields);
    return true;
  }
}

/**
 * A disk is often filled by others than pods. kubelet ends all of them then, one after the other; a node that is offline would
 * have none left, and nobody would start them again.
 */
function isWorthEnding(resource: ReclaimedResource, { diskBytes = Infinity }: PodUse): boolean {
  return resource === "memory" || resource === "pids" || diskBytes >= leastDiskBytes;
}

/** While the engine is away nothing can be said of its pods, and none can be ended. */
function unlessAway(error: unknown): undefined {
  if (error instanceof UnavailableError) throw error;
}

/** What a pod has to take of a disk to be ended for it. */
const leastDiskBytes = 10 * 2 ** 20;

function totalUse(resource: ReclaimedResource, used: ReadonlyMap<string, number> | undefined): PodUse {
  const total = used && [...used.values()].reduce((sum, amount) => sum + amount, 0);
  if (resource === "memory") return { memoryBytes: total };
  return resource === "pids" ? { processes: total } : { diskBytes: total };
}
