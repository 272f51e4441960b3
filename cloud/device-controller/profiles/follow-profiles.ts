import { ignoreMissing, resources, type Informer, type KubeClient } from "#cloud/kube-client";
import type { Clock } from "#shared/clock";
import { describeError } from "#shared/errors";
import { objectKey, type ConfigMap, type Device, type DeviceModel } from "#shared/kube";
import { KeyedQueue } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import { deviceProfile } from "./profile.ts";

export interface ProfileParts {
  readonly kube: KubeClient;
  readonly devices: Informer<Device>;
  readonly models: Informer<DeviceModel>;
  readonly clock: Clock;
  readonly log: Logger;
}

const file = "deviceProfile.json";
const prefix = "device-profile-config-";
const label = "devices.kubeedge.io/device-profile";
/** Devices that are applied together share a write. */
const gatherMs = 500;
const retryMs = 10_000;
/** Of a ConfigMap in Kubernetes, with some left for the rest of the object. */
const mostBytes = 1_000_000;

/**
 * Keeps ConfigMaps `device-profile-config-<node>` for mappers of KubeEdge 1.12 and earlier: one in each namespace that has
 * Devices on the node, removed with the last of them. One that somebody else made is left alone.
 */
export function followProfiles(parts: ProfileParts): AsyncDisposable {
  const profiles = new Profiles(parts);
  const stack = new AsyncDisposableStack();
  stack.use(profiles);
  stack.use(
    parts.devices.watch({
      added: (device) => profiles.changed(device),
      updated: (device, old) => {
        if (device.spec?.nodeName !== old.spec?.nodeName) profiles.changed(old);
        if (JSON.stringify(device.spec) !== JSON.stringify(old.spec)) profiles.changed(device);
      },
      removed: (device) => profiles.changed(device),
    }),
  );
  const modelChanged = (model: DeviceModel): void => {
    for (const device of parts.devices.list())
      if (modelKey(device) === objectKey(model)) profiles.changed(device);
  };
  stack.use(parts.models.watch({ added: modelChanged, updated: modelChanged, removed: modelChanged }));
  profiles.removeLeftovers();
  return stack;
}

class Profiles implements AsyncDisposable {
  readonly #parts: ProfileParts;
  readonly #queue = new KeyedQueue<string>((key, error) => this.#failed(key, error));
  /** `<namespace>/<node>` → when it is written */
  readonly #due = new Map<string, Disposable>();
  #isClosed = false;

  constructor(parts: ProfileParts) {
    this.#parts = parts;
  }

  changed({ metadata, spec }: Device): void {
    if (spec?.nodeName) this.#later(`${metadata.namespace}/${spec.nodeName}`, gatherMs);
  }

  /** Those of nodes whose devices went while nobody was looking. */
  removeLeftovers(): void {
    this.#queue.run("", async () => {
      const { items } = await this.#parts.kube.list<ConfigMap>(resources.configMaps, {
        labelSelector: label,
      });
      for (const { metadata } of items) {
        const { namespace = "", name = "" } = metadata;
        if (name.startsWith(prefix)) this.#later(`${namespace}/${name.slice(prefix.length)}`, gatherMs);
      }
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    for (const timer of this.#due.values()) timer[Symbol.dispose]();
    await this.#queue[Symbol.asyncDispose]();
  }

  #later(key: string, ms: number): void {
    if (this.#isClosed || this.#due.has(key)) return;
    const timer = this.#parts.clock.after(ms, () => {
      this.#due.delete(key);
      if (key === "") this.removeLeftovers();
      else this.#queue.run(key, () => this.#write(key));
    });
    this.#due.set(key, timer);
  }

  #failed(key: string, error: unknown): void {
    const { log } = this.#parts;
    log.warn("cannot write a device profile, retrying", { profile: key, error: describeError(error) });
    this.#later(key, retryMs);
  }

  async #write(key: string): Promise<void> {
    const { kube, log } = this.#parts;
    const slash = key.indexOf("/");
    const [namespace, node] = [key.slice(0, slash), key.slice(slash + 1)];
    const target = { namespace, name: `${prefix}${node}` };
    const before = await kube.find<ConfigMap>(resources.configMaps, target);
    if (before && before.metadata.labels?.[label] === undefined) {
      log.warn("a device profile is left alone, as somebody else made it", { profile: key });
      return;
    }
    const text = this.#profile(namespace, node);
    if (text === undefined) {
      if (before) await ignoreMissing(kube.remove(resources.configMaps, target));
      return;
    }
    if (Buffer.byteLength(text) > mostBytes) {
      log.error("a device profile is too large for a ConfigMap", {
        profile: key,
        bytes: Buffer.byteLength(text),
      });
      return;
    }
    if (before?.data?.[file] === text) return;
    const data = { [file]: text };
    if (before) await kube.replace(resources.configMaps, { ...before, data });
    else {
      const metadata = { ...target, labels: { [label]: "" } };
      await kube.create<ConfigMap>(resources.configMaps, {
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata,
        data,
      });
    }
  }

  /** @returns undefined for a node without devices of the namespace */
  #profile(namespace: string, node: string): string | undefined {
    const { devices, models } = this.#parts;
    const here = devices
      .list()
      .filter(({ metadata, spec }) => metadata.namespace === namespace && spec?.nodeName === node)
      .toSorted((a, b) => ((a.metadata.name ?? "") < (b.metadata.name ?? "") ? -1 : 1));
    if (here.length === 0) return undefined;
    return deviceProfile(here.map((device) => ({ device, model: models.get(modelKey(device)) })));
  }
}

function modelKey({ metadata, spec }: Device): string {
  return `${metadata.namespace}/${spec?.deviceModelRef?.name ?? ""}`;
}
