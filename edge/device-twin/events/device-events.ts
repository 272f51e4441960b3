import { createHash } from "node:crypto";
import { rfc3339, type Clock } from "#shared/clock";
import type { MappingProblem, RejectedValue } from "#shared/devices";
import { objectKey, type DeviceCause, type Event, type KubeObject, type ObjectReference } from "#shared/kube";
import type { Loss, Losses } from "#edge/store";

export interface DeviceEventsOptions {
  readonly node: string;
  readonly clock: Clock;
  /** Settles when the event is kept. */
  readonly emit: (event: Event) => Promise<void>;
  /** All that was given up of the outbox, and its limit. */
  readonly losses: () => Losses & { readonly limitBytes: number };
  /** What of it the Node was told of last, over restarts. */
  readonly told: () => Loss;
  readonly setTold: (loss: Loss) => void;
}

export interface DeviceObjectRef {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string | undefined;
}

/** A Node hears of lost messages this often at most, and then of all of them. */
const lossEveryMs = 300_000;
/** Losses come in a row: the first telling waits for those that follow at once. */
const settleMs = 5000;
const mostRemembered = 1000;
const mostWarnings = 100;
/** Of one device: a client may invent names without end. */
const mostMisfits = 20;
const warnWindowMs = 60_000;
const unusable = "UnusableConfigData";
const deviceApi = "devices.kubeedge.io/v1beta1";

/** What somebody with kubectl has to see, as Kubernetes Events on the Node, the Device or the DeviceModel. */
export class DeviceEvents implements Disposable {
  readonly #options: DeviceEventsOptions;
  /** What was told last of an object, so that it is told once. */
  readonly #told = new Map<string, string>();
  /** Names of what could not be taken of a device, so that each is told once. */
  readonly #misfits = new Map<string, Set<string>>();
  readonly #counts = new Map<string, { readonly first: string; count: number }>();
  #warned = 0;
  #warnedSinceMs = 0;
  #quiet: Disposable | undefined;
  #untold: { readonly dropped: boolean } | undefined;
  /** Discovery topics and what is wrong with what they announce. */
  readonly #leftOut = new Map<string, string>();
  #leftOutUntold = false;
  #closed = false;
  #leftOutQuiet: Disposable | undefined;

  constructor(options: DeviceEventsOptions) {
    this.#options = options;
    const [lost, told] = [options.losses(), options.told()];
    const untold = {
      folded: lost.folded - told.folded,
      droppedReports: lost.droppedReports - told.droppedReports,
      droppedUploads: lost.droppedUploads - told.droppedUploads,
    };
    if (Object.values(untold).some((count) => count > 0)) this.lost(untold);
  }

  /** Messages for the cloud were folded or dropped. */
  lost({ droppedReports, droppedUploads }: Loss): void {
    this.#untold = { dropped: this.#untold?.dropped === true || droppedReports + droppedUploads > 0 };
    this.#quiet ??= this.#tellLater(settleMs);
  }

  /**
   * An announcement that cannot be taken, or only in part; `problem` undefined: all is well (again).
   * @returns whether the problem is a new one
   */
  announcement(topic: string, problem: string | undefined): boolean {
    if (this.#leftOut.get(topic) === problem) return false;
    this.#leftOut.delete(topic);
    if (problem === undefined || this.#leftOut.size >= mostRemembered) return false;
    this.#leftOut.set(topic, problem);
    this.#leftOutUntold = true;
    this.#leftOutQuiet ??= this.#tellLeftOutLater(settleMs);
    return true;
  }

  /** Values of a device that were not taken: each property is told once until the Device or its model changes. */
  misfits({ uid, ...named }: DeviceObjectRef, misfits: readonly RejectedValue[]): void {
    const metadata = { ...named, ...(uid === undefined ? {} : { uid }) };
    const key = misfitKey(metadata);
    const told = this.#misfits.get(key) ?? new Set<string>();
    const fresh = misfits.filter(({ name }) => !told.has(name)).slice(0, mostMisfits - told.size);
    if (fresh.length === 0) return;
    const message = `Cannot take ${fresh.map(({ name, problem }) => `${name}: ${problem}`).join("; ")}`;
    if (!this.#warn("Device", { metadata }, { reason: "ValueNotTaken", message })) return;
    for (const { name } of fresh) told.add(name);
    this.#misfits.set(key, told);
    const [oldest] = this.#misfits.keys();
    if (this.#misfits.size > mostRemembered && oldest !== undefined) this.#misfits.delete(oldest);
  }

  /** Fields of a Device that cannot be used, told once as long as they stay the same; none: all is well (again). */
  deviceProblems(device: KubeObject, problems: readonly MappingProblem[]): void {
    this.#misfits.delete(misfitKey(device.metadata));
    const own = problems.filter(({ kind }) => kind === "Device").map(describe);
    this.#tell(device, unusable, own.length === 0 ? "" : `Cannot use ${own.join("; ")}`);
  }

  /** What of a Device its model does not know or allow, as the embedded API would have said it. */
  contradictions(device: KubeObject, causes: readonly DeviceCause[]): void {
    this.#tell(
      device,
      "ContradictsModel",
      causes.map(({ field, message }) => `${field}: ${message}`).join("; "),
    );
  }

  /** Fields of a model that cannot be used: each device may find others, all are told once until the model changes. */
  modelProblems(model: KubeObject, problems: readonly MappingProblem[]): void {
    const own = problems.filter(({ kind }) => kind === "DeviceModel").map(describe);
    const key = `model ${objectKey(model)}`;
    const told = this.#told.get(key)?.split("\n") ?? [];
    const fresh = own.filter((text) => !told.includes(text));
    if (fresh.length === 0) return;
    this.#remember(key, [...told, ...fresh].join("\n"));
    this.#warn("DeviceModel", model, { reason: unusable, message: `Cannot use ${fresh.join("; ")}` });
  }

  modelChanged(model: string): void {
    this.#told.delete(`model ${model}`);
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    this.#quiet?.[Symbol.dispose]();
    this.#leftOutQuiet?.[Symbol.dispose]();
  }

  #tell(device: KubeObject, reason: string, message: string): void {
    const key = `${reason} ${objectKey(device)} ${device.metadata.uid}`;
    if (message === (this.#told.get(key) ?? "")) return;
    this.#remember(key, message);
    if (message !== "") this.#warn("Device", device, { reason, message });
  }

  #remember(key: string, text: string): void {
    this.#told.delete(key);
    if (text !== "") this.#told.set(key, text);
    const [oldest] = this.#told.keys();
    if (this.#told.size > mostRemembered && oldest !== undefined) this.#told.delete(oldest);
  }

  /**
   * A model or a template gone wrong may be in ten thousand devices: the first hundred tell enough.
   * @returns whether it is told
   */
  #warn(kind: string, { metadata }: KubeObject, event: Pick<Event, "reason" | "message">): boolean {
    const nowMs = this.#options.clock.monotonicMs();
    if (this.#warned === 0 || nowMs - this.#warnedSinceMs >= warnWindowMs) {
      this.#warnedSinceMs = nowMs;
      this.#warned = 0;
    }
    if (this.#warned >= mostWarnings) return false;
    this.#warned += 1;
    const { name = "", namespace = "default", uid } = metadata;
    const about = { apiVersion: deviceApi, kind, namespace, name, ...(uid ? { uid } : {}) };
    void this.#emit(about, event.reason, event.message);
    return true;
  }

  #tellLater(ms: number): Disposable {
    return this.#options.clock.after(ms, () => {
      this.#quiet = undefined;
      this.#tellLoss();
    });
  }

  #tellLoss(): void {
    const untold = this.#untold;
    if (!untold) return;
    this.#untold = undefined;
    this.#quiet = this.#tellLater(lossEveryMs);
    const { losses, setTold } = this.#options;
    const lost = losses();
    const { folded, droppedReports, droppedUploads, sinceMs = 0, limitBytes } = lost;
    const message =
      `More than edgehub.outbox-mb (${Math.round(limitBytes / 1e6)} MB) waited for the cloud, or an upload was larger than ` +
      `it reads (32 MiB). Since ${rfc3339(sinceMs)}: ${folded} reports folded into later ones, ` +
      `${droppedReports} reports and ${droppedUploads} uploads dropped`;
    const reason = untold.dropped ? "MessagesDropped" : "ReportsFolded";
    void this.#emit(this.#node, reason, message).then(() => {
      if (!this.#closed) setTold(lost);
    });
  }

  #tellLeftOutLater(ms: number): Disposable {
    return this.#options.clock.after(ms, () => {
      this.#leftOutQuiet = undefined;
      if (!this.#leftOutUntold || this.#leftOut.size === 0) return;
      this.#leftOutUntold = false;
      this.#leftOutQuiet = this.#tellLeftOutLater(lossEveryMs);
      const all = [...this.#leftOut].toReversed().map(([topic, problem]) => `${topic}: ${problem}`);
      const message = `${all.length} announcements of discovery cannot be taken as they are: ${all.join("; ")}`;
      void this.#emit(this.#node, "AnnouncementNotTaken", message);
    });
  }

  get #node(): ObjectReference {
    const { node } = this.#options;
    return { apiVersion: "v1", kind: "Node", name: node, uid: node };
  }

  /** The same said again is one Event with a higher count; what is said of a Node changes with its counts. */
  #emit(involvedObject: ObjectReference, reason: string, message: string): Promise<void> {
    const { node, clock, emit } = this.#options;
    const { kind = "", name = "", namespace = "default", uid = "" } = involvedObject;
    const about = kind === "Node" ? "" : message;
    const id = createHash("sha256").update([kind, uid, reason, about].join("\n")).digest("hex").slice(0, 16);
    const now = rfc3339(clock.nowMs());
    const seen = this.#counts.get(id) ?? { first: now, count: 0 };
    seen.count += 1;
    this.#counts.set(id, seen);
    const [oldest] = this.#counts.keys();
    if (this.#counts.size > mostRemembered && oldest !== undefined) this.#counts.delete(oldest);
    return emit({
      apiVersion: "v1",
      kind: "Event",
      metadata: { name: `${name}.${id}`, namespace },
      involvedObject,
      reason,
      message: message.slice(0, 1024),
      type: "Warning",
      count: seen.count,
      firstTimestamp: seen.first,
      lastTimestamp: now,
      source: { component: "edgecore", host: node },
      reportingComponent: "edgecore",
      reportingInstance: node,
    });
  }
}

function misfitKey({ namespace, name, uid }: KubeObject["metadata"]): string {
  return `misfit ${namespace}/${name} ${uid}`;
}

function describe({ field, value, problem }: MappingProblem): string {
  return `${field}: ${show(value)}: ${problem}`;
}

function show(value: unknown): string {
  return JSON.stringify(value).slice(0, 100);
}
