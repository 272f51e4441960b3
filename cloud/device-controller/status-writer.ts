import { isKubeError, type KubeClient, type ResourceType } from "#cloud/kube-client";
import type { Clock } from "#shared/clock";
import { describeError } from "#shared/errors";
import { compareVersions, type Device, type DeviceModel, type DeviceStatus } from "#shared/kube";
import { backoff } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import { statusAfter, isReportAbout, mergeReports, type PendingReport } from "./reports.ts";

export interface StatusWriterOptions {
  readonly kube: KubeClient;
  readonly type: ResourceType;
  readonly device: (key: string) => Device | undefined;
  readonly modelOf: (device: Device) => DeviceModel | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  /** least time between two writes of one device */
  readonly perDeviceMs: number;
  /** writes a second over all devices */
  readonly writesPerSecond: number;
}

type StatusPatch = Omit<DeviceStatus, "state"> & { readonly state?: string | null };

interface Pending {
  report: PendingReport;
  /** Called when the report is in the API, or will never be. */
  readonly done: (() => void)[];
}

/** Writes under way at a time: enough to use the rate limit, however slow the API is. */
const mostAtOnce = 32;
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
  readonly #writing = new Set<string>();
  readonly #busy = new Set<Promise<void>>();
  readonly #written = new Map<string, Device>();
  readonly #stop = new AbortController();
  #allowance: number;
  #countedMs: number;
  #refill: Disposable | undefined;
  #wholeObject = false;

  constructor(options: StatusWriterOptions) {
    this.#options = options;
    this.#allowance = options.writesPerSecond;
    this.#countedMs = options.clock.monotonicMs();
  }

  submit(key: string, report: PendingReport, done: () => void): void {
    if (this.#stop.signal.aborted) return;
    const before = this.#pending.get(key);
    if (before) {
      before.report = mergeReports(before.report, report);
      before.done.push(done);
      return;
    }
    this.#pending.set(key, { report, done: [done] });
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
    this.#allowance = Number.MAX_SAFE_INTEGER;
    this.#pump();
    this.#stop.abort();
    while (this.#busy.size > 0) await Promise.all(this.#busy);
    this.#refill?.[Symbol.dispose]();
  }

  #pump(): void {
    this.#earn();
    for (const key of this.#ready) {
      if (this.#busy.size >= mostAtOnce && !this.#stop.signal.aborted) return;
      if (this.#allowance < 1) {
        this.#refill ??= this.#options.clock.after(refillMs, () => {
          this.#refill = undefined;
          this.#pump();
        });
        return;
      }
      this.#allowance -= 1;
      this.#ready.delete(key);
      this.#start(key);
    }
  }

  /** A token bucket: at most a fifth of a second's writes at once. */
  #earn(): void {
    const { clock, writesPerSecond } = this.#options;
    const nowMs = clock.monotonicMs();
    const earned = ((nowMs - this.#countedMs) / 1000) * writesPerSecond;
    this.#countedMs = nowMs;
    this.#allowance = Math.max(this.#allowance, Math.min(writesPerSecond / 5, this.#allowance + earned));
  }

  #start(key: string): void {
    const pending = this.#pending.get(key);
    if (!pending) return;
    this.#pending.delete(key);
    this.#rest(key);
    this.#writing.add(key);
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
  async #write(key: string, { report, done }: Pending): Promise<void> {
    const { clock } = this.#options;
    const delays = backoff({ firstMs: 200, capMs: 10_000, random: () => clock.random() });
    for (let next = report; !(await this.#tryPatch(key, next));) {
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
  async #tryPatch(key: string, report: PendingReport): Promise<boolean> {
    const { log } = this.#options;
    try {
      await this.#patch(key, report);
      return true;
    } catch (error) {
      const fields = { device: key, error: describeError(error) };
      const isFinal = isKubeError(error, ...finalStatuses);
      if (isFinal) log.error("the API refuses the status of a device, dropping the report", fields);
      else log.warn("cannot write the status of a device, retrying", fields);
      return isFinal;
    }
  }

  async #patch(key: string, report: PendingReport): Promise<void> {
    const { device, modelOf, clock } = this.#options;
    const seen = device(key);
    if (!seen || !isReportAbout(seen, report)) return;
    const before = this.#newest(key, seen);
    const status = statusAfter(before, modelOf(before), report, clock.nowMs());
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
