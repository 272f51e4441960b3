import { isKubeError, type KubeClient, type ResourceType } from "#cloud/kube-client";
import type { Clock } from "#shared/clock";
import { describeError } from "#shared/errors";
import { compareVersions, type Device, type DeviceModel, type DeviceStatus } from "#shared/kube";
import { backoff } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import { Pace } from "./pace.ts";
import { covers, statusAfter, isReportAbout, mergeReports, type PendingReport } from "./reports.ts";

export interface StatusWriterOptions {
  readonly kube: KubeClient;
  readonly type: ResourceType;
  readonly device: (key: string) => Device | undefined;
  readonly modelOf: (device: Device) => DeviceModel | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  /** least time between two writes of one device */
  readonly perDeviceMs: number;
  /** writes a second over all devices; undefined: as many as the API takes */
  readonly writesPerSecond: number | undefined;
}

/** How far the statuses are behind the reports. */
export interface StatusFigures {
  readonly waiting: number;
  /** Of the report that waits longest for its write, and the device it is of. */
  readonly oldestMs: number;
  readonly oldestDevice: string | undefined;
  readonly writes: number;
}

type StatusPatch = Omit<DeviceStatus, "state"> & { readonly state?: string | null };

interface Pending {
  report: PendingReport;
  /** Called when the report is in the API, or will never be; or when a later one has all of it, and the node that one. */
  done: (() => void)[];
  /** When the first of the reports in it came. */
  readonly sinceMs: number;
}

/** Writes under way at a time: enough to use the rate limit, however slow the API is. */
const mostAtOnce = 32;
/** Without a limit the API gives the pace: others that ask it wait behind so many writes at most. */
const mostAtOnceUnlimited = 8;
/** While the rate limit holds writes back, how often it is looked at. */
const refillMs = 20;
/** Bad request, too large, invalid: the same again would be refused again. */
const finalStatuses = [400, 413, 422];

/**
 * Writes reports into the status of Device objects, rate limited per device and in total. Reports of a device that arrive
 * faster than it may be written share a write; the last value always arrives. Failed writes are retried with backoff.
 */
export class StatusWriter implements AsyncDisposable {
  readonly #options: StatusWriterOptions;
  readonly #pending = new Map<string, Pending>();
  /** Devices that may be written now, oldest first. */
  readonly #ready = new Set<string>();
  /** Devices that were written less than `perDeviceMs` ago. */
  readonly #resting = new Map<string, Disposable>();
  /** Devices that are being written: one write of a device at a time, or an older one could arrive last. */
  readonly #writing = new Map<string, number>();
  readonly #busy = new Set<Promise<void>>();
  readonly #written = new Map<string, Device>();
  readonly #stop = new AbortController();
  readonly #pace: Pace;
  readonly #mostAtOnce: number;
  #writes = 0;
  #refill: Disposable | undefined;
  #wholeObject = false;

  constructor(options: StatusWriterOptions) {
    this.#options = options;
    this.#pace = new Pace(options.writesPerSecond, options.clock);
    this.#mostAtOnce = options.writesPerSecond === undefined ? mostAtOnceUnlimited : mostAtOnce;
  }

  submit(key: string, report: PendingReport, done: () => void): void {
    if (this.#stop.signal.aborted) return;
    const before = this.#pending.get(key);
    if (before) {
      const isCovered = covers(report, before.report);
      before.report = mergeReports(before.report, report);
      if (isCovered) for (const resolve of before.done.splice(0)) resolve();
      before.done.push(done);
      return;
    }
    this.#pending.set(key, { report, done: [done], sinceMs: this.#options.clock.monotonicMs() });
    this.#readyIfDue(key);
    this.#pump();
  }

  forget(key: string): void {
    this.#written.delete(key);
  }

  /** Writes what is pending, as far as the API takes it. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const rest of this.#resting.values()) rest[Symbol.dispose]();
    this.#resting.clear();
    for (const key of this.#pending.keys()) this.#readyIfDue(key);
    this.#pace.release();
    this.#pump();
    this.#stop.abort();
    while (this.#busy.size > 0) await Promise.all(this.#busy);
    this.#refill?.[Symbol.dispose]();
  }

  figures(): StatusFigures {
    const nowMs = this.#options.clock.monotonicMs();
    const waits = [
      ...this.#writing,
      ...[...this.#pending].map(([key, { sinceMs }]) => [key, sinceMs] as const),
    ];
    const oldest = waits.reduce<readonly [string, number] | undefined>(
      (first, one) => (first && first[1] <= one[1] ? first : one),
      undefined,
    );
    return {
      waiting: waits.length,
      oldestMs: oldest ? nowMs - oldest[1] : 0,
      oldestDevice: oldest?.[0],
      writes: this.#writes,
    };
  }

  #pump(): void {
    for (const key of this.#ready) {
      if (this.#busy.size >= this.#mostAtOnce && !this.#stop.signal.aborted) return;
      if (!this.#pace.take()) {
        this.#refill ??= this.#options.clock.after(refillMs, () => {
          this.#refill = undefined;
          this.#pump();
        });
        return;
      }
      this.#ready.delete(key);
      this.#start(key);
    }
  }

  #start(key: string): void {
    const pending = this.#pending.get(key);
    if (!pending) return;
    this.#pending.delete(key);
    this.#rest(key);
    this.#writing.set(key, pending.sinceMs);
    const work = this.#write(key, pending);
    this.#busy.add(work);
    void work.then(() => {
      this.#busy.delete(work);
      this.#writing.delete(key);
      this.#readyIfDue(key);
      this.#pump();
    });
  }

  #readyIfDue(key: string): void {
    if (this.#pending.has(key) && !this.#resting.has(key) && !this.#writing.has(key)) this.#ready.add(key);
  }

  #rest(key: string): void {
    if (this.#stop.signal.aborted) return;
    const { clock, perDeviceMs } = this.#options;
    const timer = clock.after(perDeviceMs, () => {
      this.#resting.delete(key);
      this.#readyIfDue(key);
      this.#pump();
    });
    this.#resting.set(key, timer);
  }

  /** What is reported while the API is not available goes in with the next attempt. */
  async #write(key: string, { report, done, sinceMs }: Pending): Promise<void> {
    const { clock } = this.#options;
    const delays = backoff({ firstMs: 200, capMs: 10_000, random: () => clock.random() });
    for (let next = report; !(await this.#tryPatch(key, next, sinceMs));) {
      if (this.#stop.signal.aborted) return;
      await clock.sleep(delays.next().value, { signal: this.#stop.signal }).catch(() => undefined);
      const newer = this.#pending.get(key);
      if (!newer) continue;
      this.#pending.delete(key);
      next = mergeReports(next, newer.report);
      done.push(...newer.done);
    }
    for (const resolve of done) resolve();
  }

  /** @returns whether it is done with: written, or never to be */
  async #tryPatch(key: string, report: PendingReport, sinceMs: number): Promise<boolean> {
    const { log, clock } = this.#options;
    const startedMs = clock.monotonicMs();
    try {
      await this.#patch(key, report, startedMs - sinceMs);
      this.#writes += 1;
      return true;
    } catch (error) {
      const fields = { device: key, error: describeError(error) };
      const isFinal = isKubeError(error, ...finalStatuses);
      if (isFinal) log.error("the API refuses the status of a device, dropping the report", fields);
      else log.warn("cannot write the status of a device, retrying", fields);
      return isFinal;
    }
  }

  async #patch(key: string, report: PendingReport, waitedMs: number): Promise<void> {
    const { device, modelOf, clock } = this.#options;
    const seen = device(key);
    if (!seen || !isReportAbout(seen, report)) return;
    const before = this.#newest(key, seen);
    const status = statusAfter(before, modelOf(before), report, { nowMs: clock.nowMs(), waitedMs });
    const isGone = before.status?.state !== undefined && status.state === undefined;
    try {
      const after = await this.#send(key, isGone ? { ...status, state: null } : status);
      this.#written.set(key, { metadata: after.metadata, status: after.status ?? status });
    } catch (error) {
      if (!isKubeError(error, 404)) throw error;
      this.#written.delete(key);
    }
  }

  /** The status as last written, unless the informer has seen a later one. */
  #newest(key: string, seen: Device): Device {
    const written = this.#written.get(key);
    if (!written || written.metadata.uid !== seen.metadata.uid) return seen;
    const later = compareVersions(written.metadata.resourceVersion, seen.metadata.resourceVersion) > 0;
    return later && written.status ? { ...seen, status: written.status } : seen;
  }

  /** The CRD of KubeEdge has no status subresource: there the object itself is patched. */
  async #send(key: string, status: StatusPatch): Promise<Device> {
    const { kube, type } = this.#options;
    const [namespace = "", name = ""] = key.split("/");
    const target = { namespace, name };
    if (!this.#wholeObject) {
      try {
        return await kube.patch<Device>(type, target, { status }, { type: "merge", subresource: "status" });
      } catch (error) {
        if (!isKubeError(error, 404) || !(await kube.find(type, target))) throw error;
        this.#wholeObject = true;
      }
    }
    return kube.patch<Device>(type, target, { status }, { type: "merge" });
  }
}
