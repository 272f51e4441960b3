import { KubeError, type KubeClient, type ResourceType } from "#cloud/kube-client";
import type { Clock } from "#shared/clock";
import { describeError } from "#shared/errors";
import type { Device, DeviceModel, KubeObject } from "#shared/kube";
import { backoff } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import type { Found } from "./announcement.ts";
import { discoveredOnAnnotation, mergeAnnouncement } from "./merge.ts";

/** Refusals that may pass: a conflict, or an API that is not ready. */
const passingStatuses: ReadonlySet<number> = new Set([404, 408, 409, 429]);

export interface DiscoveredOptions {
  readonly kube: KubeClient;
  readonly devices: ResourceType;
  readonly models: ResourceType;
  readonly clock: Clock;
  readonly log: Logger;
}

interface Waiting {
  readonly found: Found;
  readonly done: readonly (() => void)[];
}

/**
 * Writes announcements into Device and DeviceModel. One at a time for each device, of several that wait the newest;
 * `done` is called once they are in the API, or can never be. What fails for now is retried with backoff.
 */
export class DiscoveredDevices implements AsyncDisposable {
  readonly #options: DiscoveredOptions;
  /** device → node → its newest announcement */
  readonly #waiting = new Map<string, Map<string, Waiting>>();
  readonly #busy = new Map<string, Promise<void>>();
  readonly #stop = new AbortController();

  constructor(options: DiscoveredOptions) {
    this.#options = options;
  }

  submit(found: Found, done: () => void): void {
    if (this.#stop.signal.aborted) return;
    const { name, node } = found;
    const ofDevice = this.#waiting.get(name) ?? new Map<string, Waiting>();
    this.#waiting.set(name, ofDevice);
    ofDevice.set(node, { found, done: [...(ofDevice.get(node)?.done ?? []), done] });
    if (this.#busy.has(name)) return;
    this.#busy.set(name, this.#drain(name));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#busy.values());
  }

  async #drain(name: string): Promise<void> {
    const { clock } = this.#options;
    const delays = backoff({ firstMs: 100, capMs: 10_000, random: () => clock.random() });
    for (;;) {
      const [entry] = this.#waiting.get(name) ?? [];
      if (!entry || this.#stop.signal.aborted) break;
      const [node, waiting] = entry;
      if (!(await this.#try(waiting.found))) {
        await clock.sleep(delays.next().value, { signal: this.#stop.signal }).catch(() => undefined);
        continue;
      }
      // What arrived in the meantime has an entry and a turn of its own; what it replaced is answered with it.
      if (this.#waiting.get(name)?.get(node) === waiting) this.#waiting.get(name)?.delete(node);
      for (const done of waiting.done) done();
    }
    this.#waiting.delete(name);
    this.#busy.delete(name);
  }

  /** @returns whether it is done with: written, or never to be */
  async #try(found: Found): Promise<boolean> {
    const { log } = this.#options;
    const about = { device: found.name, node: found.node };
    try {
      await this.#take(found);
      return true;
    } catch (error) {
      const status = error instanceof KubeError ? error.httpStatus : undefined;
      const isFinal = status !== undefined && status >= 400 && status < 500 && !passingStatuses.has(status);
      const fields = { ...about, error: describeError(error) };
      if (isFinal) log.warn("the API refuses a discovered device", fields);
      else if (status !== 409) log.warn("cannot write a discovered device, retrying", fields);
      return isFinal;
    }
  }

  async #take(found: Found): Promise<void> {
    const { kube, devices, models, log } = this.#options;
    const { name, node } = found;
    const key = { name, namespace: "default" };
    const [device, model] = await Promise.all([
      kube.find<Device>(devices, key),
      kube.find<DeviceModel>(models, key),
    ]);
    if ([device, model].some((object) => object && !isOf(object, node)) || isTakenOver(device, name)) {
      log.info("a discovered device has the name of another device", { device: name, node });
      return;
    }
    const wanted = mergeAnnouncement(found, device, model);
    if (wanted.kept.length > 0)
      log.warn("announced properties contradict desired values and are not changed", {
        device: name,
        properties: wanted.kept,
      });
    // The Device first: without a model it contradicts nothing, and on a conflict no model is left behind.
    if (!device) await kube.create(devices, wanted.device);
    if (!model) await kube.create(models, wanted.model);
    else await this.#patch(models, model, wanted.model);
    if (device) await this.#patch(devices, device, wanted.device);
  }

  /** Fails with a conflict when the object changed since it was read. */
  async #patch(type: ResourceType, before: KubeObject, after: KubeObject): Promise<void> {
    const { name = "", namespace = "", resourceVersion, annotations } = before.metadata;
    const same =
      Bun.deepEquals(before["spec"], after["spec"]) &&
      Bun.deepEquals(annotations, after.metadata.annotations);
    if (same) return;
    const metadata = { resourceVersion, annotations: after.metadata.annotations };
    const patch = { metadata, spec: after["spec"] };
    await this.#options.kube.patch(type, { name, namespace }, patch, { type: "merge" });
  }
}

function isOf({ metadata }: KubeObject, node: string): boolean {
  return metadata.annotations?.[discoveredOnAnnotation] === node;
}

/** A user gave it another model: announcements no longer apply. */
function isTakenOver(device: Device | undefined, name: string): boolean {
  const model = device?.spec?.deviceModelRef?.name;
  return device !== undefined && model !== name;
}
