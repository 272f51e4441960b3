import type { Clock } from "#shared/clock";
import { AppError, asError, UnavailableError } from "#shared/errors";
import type { Logger } from "#shared/log";
import type { ContainerRuntime, Image } from "#edge/runtime";
import type { PodEvent } from "#edge/edged/events";
import type { ImageAges } from "./image-ages.ts";
import { bytesToFree, removableImages, type GcPolicy } from "./removable.ts";

export interface ImageGcDeps {
  readonly runtime: ContainerRuntime;
  readonly clock: Clock;
  readonly log: Logger;
  readonly ages: ImageAges;
  readonly isHeld: (id: string) => boolean;
  /** An Event of the Node. */
  readonly record: (event: PodEvent) => void;
}

/** kubelet: ImageGCPeriod. */
const periodMs = 300_000;

/**
 * Removes images nobody uses when their disk is full, and those unused for too long: kubelet's image_gc_manager.
 * Images of containers of anyone, in any state, stay.
 */
export class ImageGc implements AsyncDisposable {
  readonly #policy: GcPolicy;
  readonly #deps: ImageGcDeps;
  #lookedAtMs: number | undefined;
  #failures = 0;
  #all = false;
  #dirty = false;
  #closed = false;
  #running: Promise<void> | undefined;
  #timer: Disposable | undefined;

  constructor(policy: GcPolicy, deps: ImageGcDeps) {
    this.#policy = policy;
    this.#deps = deps;
  }

  /** Looks now, and from then on in intervals. */
  wake(): void {
    this.#dirty = true;
    this.#running ??= this.#loop();
  }

  /** The disk is full: every image that nobody uses goes, as when kubelet's eviction manager needs disk space. */
  async reclaim(): Promise<void> {
    if (this.#policy.highPercent >= 100) return;
    this.#all = true;
    this.wake();
    await this.#running;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#timer?.[Symbol.dispose]();
    await this.#running;
    this.#deps.ages.save();
  }

  async #loop(): Promise<void> {
    await Promise.resolve();
    while (this.#dirty && !this.#closed) {
      this.#dirty = false;
      try {
        await this.#pass();
        this.#failures = 0;
      } catch (error) {
        this.#failed(error);
      }
    }
    this.#running = undefined;
    this.#timer?.[Symbol.dispose]();
    if (!this.#closed) this.#timer = this.#deps.clock.after(periodMs, () => this.wake());
  }

  /** kubelet: the first failure may be of a machine that is still starting. */
  #failed(error: unknown): void {
    const { log, record } = this.#deps;
    if (error instanceof UnavailableError) return log.debug("cannot look for unused images", { error });
    this.#failures += 1;
    log.warn("cannot remove unused images", { error });
    const event: PodEvent = { type: "Warning", reason: "ImageGCFailed", message: asError(error).message };
    if (this.#failures > 1) record({ ...event, series: event.reason });
  }

  async #pass(): Promise<void> {
    const { runtime, clock, ages, isHeld } = this.#deps;
    const nowMs = clock.monotonicMs();
    // What was asked for while the engine is away is not done later, when the disk may have room again.
    const isAll = this.#all;
    this.#all = false;
    // Images first: one that is pulled and used meanwhile is not among them.
    const images = await runtime.listImages();
    const used = await runtime.usedImages();
    ages.look(images, used, nowMs - (this.#lookedAtMs ?? nowMs));
    this.#lookedAtMs = nowMs;
    const age = (id: string) => ages.of(id);
    const removable = removableImages({ images, used, age, isHeld }, this.#policy);
    if (isAll) for (const image of removable) await this.#remove(image, "disk full");
    else await this.#freeSpace(await this.#removeOld(removable));
  }

  /** @returns those that are left */
  async #removeOld(images: readonly Image[]): Promise<Image[]> {
    const { maximumAgeMs = Infinity } = this.#policy;
    const rest: Image[] = [];
    for (const image of images) {
      const { unusedMs } = this.#deps.ages.of(image.id);
      if (unusedMs < maximumAgeMs) rest.push(image);
      else await this.#remove(image, "unused for too long");
    }
    return rest;
  }

  async #freeSpace(images: readonly Image[]): Promise<void> {
    const { runtime, record } = this.#deps;
    const before = await runtime.imageFs();
    const wanted = before ? bytesToFree(before, this.#policy) : 0;
    if (!before || wanted === 0) return;
    let freed = 0;
    for (const image of images) {
      if (freed >= wanted || this.#closed) break;
      await this.#remove(image, "disk full");
      // Images share layers: what became free is measured.
      freed = ((await runtime.imageFs())?.availableBytes ?? 0) - before.availableBytes;
    }
    if (freed >= wanted || this.#closed) return;
    const message = `failed to garbage collect required amount of images. Wanted to free ${wanted} bytes, but freed ${Math.max(0, freed)} bytes`;
    record({ type: "Warning", reason: "FreeDiskSpaceFailed", message, series: "FreeDiskSpaceFailed" });
    throw new AppError("image-gc", message);
  }

  async #remove({ id, names, sizeBytes }: Image, why: string): Promise<void> {
    const { runtime, log } = this.#deps;
    try {
      await runtime.removeImage(id);
      log.info("image removed", { image: names[0] ?? id, id, bytes: sizeBytes, why });
    } catch (error) {
      if (error instanceof UnavailableError) throw error;
      // It came into use meanwhile, or another image is made from it.
      log.debug("image not removed", { image: names[0] ?? id, id, error });
    }
  }
}
