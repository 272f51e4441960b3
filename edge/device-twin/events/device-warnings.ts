import type { Clock } from "#shared/clock";
import type { DeviceEventRecorder } from "#shared/events";
import type { MappingProblem, RejectedValue } from "#shared/devices";
import { objectKey, type DeviceCause, type Event, type KubeObject } from "#shared/kube";
import { settleMs } from "./periods.ts";

export interface DeviceObjectRef {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string | undefined;
}

/** Objects whose last warning is remembered; beyond it the oldest may be warned about twice. */
const mostRemembered = 1000;
/** Warnings a window: a wrong model may affect ten thousand devices, of which the first hundred are enough. */
const mostWarnings = 100;
const warnWindowMs = 60_000;
/** Properties of one device: a client may invent names without end. */
const mostRejectedNames = 20;

const unusable = "UnusableConfigData";
const deviceApi = "devices.kubeedge.io/v1beta1";

/** Warnings on Devices and DeviceModels, each recorded once as long as its reason stays the same. */
export class DeviceWarnings implements Disposable {
  readonly #recorder: DeviceEventRecorder;
  readonly #clock: Pick<Clock, "monotonicMs" | "after">;
  /** Contradictions that may be gone with the next object that arrives. */
  readonly #unsettled = new Map<
    string,
    { readonly device: KubeObject; readonly judge: () => readonly DeviceCause[] }
  >();
  #settling: Disposable | undefined;
  /** The last message of each object and reason. */
  readonly #recorded = new Map<string, string>();
  /** Names of the rejected values of each device. */
  readonly #rejected = new Map<string, Set<string>>();
  #warned = 0;
  #warnedSinceMs = 0;

  constructor(recorder: DeviceEventRecorder, clock: Pick<Clock, "monotonicMs" | "after">) {
    this.#recorder = recorder;
    this.#clock = clock;
  }

  /** Values that a device sent and that were not taken: each name once until the Device or its model changes. */
  valuesRejected({ uid, ...place }: DeviceObjectRef, values: readonly RejectedValue[]): void {
    const metadata = { ...place, ...(uid === undefined ? {} : { uid }) };
    const key = deviceKey(metadata);
    const known = this.#rejected.get(key) ?? new Set<string>();
    const fresh = values.filter(({ name }) => !known.has(name)).slice(0, mostRejectedNames - known.size);
    if (fresh.length === 0) return;
    const message = `Value not taken: ${fresh.map(({ name, problem }) => `${name}: ${problem}`).join("; ")}`;
    if (!this.#warn("Device", { metadata }, { reason: "ValueNotTaken", message })) return;
    for (const { name } of fresh) known.add(name);
    this.#rejected.set(key, known);
    forgetOldest(this.#rejected);
  }

  /** Fields of a Device that cannot be used; none: the next problem is a new one. */
  deviceProblems(device: KubeObject, problems: readonly MappingProblem[]): void {
    this.#rejected.delete(deviceKey(device.metadata));
    const texts = problems.filter(({ kind }) => kind === "Device").map(describeProblem);
    this.#warnOfDevice(device, unusable, texts.length === 0 ? "" : `Cannot use ${texts.join("; ")}`);
  }

  /** Desired values that were set on this node, and that the cloud refuses. */
  desiredDropped(device: KubeObject, properties: readonly string[], why: string): void {
    const message = `${properties.join(", ")}: what was set on the node was dropped: ${why}`;
    this.#warn("Device", device, { reason: "DesiredValueDropped", message });
  }

  /**
   * What of a Device contradicts its model, for which the embedded API refuses it; none: as with `deviceProblems`. A Device
   * and its model arrive one after the other: only what still is a contradiction after a few seconds is one.
   * @param judge is asked again then
   */
  contradictions(device: KubeObject, judge: () => readonly DeviceCause[]): void {
    const key = objectKey(device);
    if (judge().length === 0) {
      this.#unsettled.delete(key);
      this.#warnOfDevice(device, "ContradictsModel", "");
      return;
    }
    this.#unsettled.set(key, { device, judge });
    this.#settling ??= this.#clock.after(settleMs, () => this.#settle());
  }

  [Symbol.dispose](): void {
    this.#settling?.[Symbol.dispose]();
  }

  #settle(): void {
    this.#settling = undefined;
    for (const { device, judge } of this.#unsettled.values()) {
      const texts = judge().map(({ field, message }) => `${field}: ${message}`);
      this.#warnOfDevice(device, "ContradictsModel", texts.join("; "));
    }
    this.#unsettled.clear();
  }

  /**
   * Fields of a model that cannot be used. Devices may find different ones: each is recorded once until the model
   * changes.
   */
  modelProblems(model: KubeObject, problems: readonly MappingProblem[]): void {
    const texts = problems.filter(({ kind }) => kind === "DeviceModel").map(describeProblem);
    const key = modelWarningKey(objectKey(model));
    const known = this.#recorded.get(key)?.split("\n") ?? [];
    const fresh = texts.filter((text) => !known.includes(text));
    if (fresh.length === 0) return;
    this.#remember(key, [...known, ...fresh].join("\n"));
    this.#warn("DeviceModel", model, { reason: unusable, message: `Cannot use ${fresh.join("; ")}` });
  }

  /** @param key `<namespace>/<name>` of the model */
  modelChanged(key: string): void {
    this.#recorded.delete(modelWarningKey(key));
  }

  #warnOfDevice(device: KubeObject, reason: string, message: string): void {
    const key = `${reason} ${objectKey(device)} ${device.metadata.uid}`;
    if (message === (this.#recorded.get(key) ?? "")) return;
    this.#remember(key, message);
    if (message !== "") this.#warn("Device", device, { reason, message });
  }

  #remember(key: string, text: string): void {
    this.#recorded.delete(key);
    if (text !== "") this.#recorded.set(key, text);
    forgetOldest(this.#recorded);
  }

  /** @returns false when the limit of the window is reached */
  #warn(kind: string, { metadata }: KubeObject, event: Pick<Event, "reason" | "message">): boolean {
    const nowMs = this.#clock.monotonicMs();
    if (this.#warned === 0 || nowMs - this.#warnedSinceMs >= warnWindowMs) {
      this.#warnedSinceMs = nowMs;
      this.#warned = 0;
    }
    if (this.#warned >= mostWarnings) return false;
    this.#warned += 1;
    const { name = "", namespace = "default", uid } = metadata;
    const about = { apiVersion: deviceApi, kind, namespace, name, ...(uid ? { uid } : {}) };
    void this.#recorder.record(about, event.reason, event.message);
    return true;
  }
}

function forgetOldest(map: Map<string, unknown>): void {
  const [oldest] = map.keys();
  if (map.size > mostRemembered && oldest !== undefined) map.delete(oldest);
}

function deviceKey({ namespace, name, uid }: KubeObject["metadata"]): string {
  return `${namespace}/${name} ${uid}`;
}

function modelWarningKey(model: string): string {
  return `model ${model}`;
}

function describeProblem({ field, value, problem }: MappingProblem): string {
  return `${field}: ${JSON.stringify(value).slice(0, 100)}: ${problem}`;
}
