import type { Clock } from "#shared/clock";
import { describeError } from "#shared/errors";
import { backoff } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import type { DevicePlan, PlannedProperty } from "./device-plan.ts";
import type { Driver, DriverFactory } from "./driver.ts";
import type { EdgeLink, ReportedValue } from "./edge-link.ts";
import { textOfValue, valueOfText } from "./values.ts";

export interface DeviceLoopParts {
  readonly key: string;
  readonly driver: DriverFactory;
  readonly edge: Pick<EdgeLink, "report" | "reportState">;
  readonly clock: Clock;
  readonly log: Logger;
}

/** What is known of a property. */
interface Reading {
  planned: PlannedProperty;
  /** When it is read next, and reported next, by the clock that never goes back. */
  readMs: number;
  reportMs: number;
  value: string | undefined;
  reported: string | undefined;
  /** The desired value that was written last. */
  written: string;
}

/** As KubeEdge's mapper-framework where the Device does not say. */
const collectMs = 1000;
/** A device is not read faster, whatever its Device says. */
const fastestMs = 10;
/** What does not change is reported as often, so that its time is not older. */
const refreshMs = 60_000;
const firstRetryMs = 1000;
const lastRetryMs = 60_000;

/**
 * A device of a mapper: it is initialized, read by its cycles, written when something else is desired, reported when something
 * changed, and begun again with growing pauses when the driver fails. What cannot be reported is reported later, the newest value alone.
 */
export class DeviceLoop implements AsyncDisposable {
  readonly #parts: DeviceLoopParts;
  readonly #readings = new Map<string, Reading>();
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;
  #plan: DevicePlan;
  #wake = new AbortController();
  #isNew = false;
  #state = "";
  #reportedState = "";

  constructor(plan: DevicePlan, parts: DeviceLoopParts) {
    this.#parts = parts;
    this.#plan = plan;
    this.#done = this.#run();
  }

  get plan(): DevicePlan {
    return this.#plan;
  }

  /** The Device changed. Only what is desired: it is written at once; anything else: the driver begins again. */
  change(plan: DevicePlan): void {
    this.#isNew ||= JSON.stringify(this.#plan.device) !== JSON.stringify(plan.device);
    this.#plan = plan;
    this.#wake.abort();
  }

  /** Edgecore may have lost what it knew: everything is reported again. */
  reportAll(): void {
    for (const reading of this.#readings.values()) reading.reported = undefined;
    this.#reportedState = "";
    this.#wake.abort();
  }

  /** Stops the device. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    this.#wake.abort();
    await this.#done;
  }

  /** Never rejects. */
  async #run(): Promise<void> {
    const { clock, log, key } = this.#parts;
    const waits = (): Generator<number, never> =>
      backoff({ firstMs: firstRetryMs, capMs: lastRetryMs, random: () => clock.random() });
    let pauses = waits();
    while (!this.#stop.signal.aborted) {
      this.#isNew = false;
      try {
        await this.#life(() => (pauses = waits()));
      } catch (error) {
        log.warn("a device failed, retrying", { device: key, error: describeError(error) });
        this.#state = "offline";
        await this.#report();
        await this.#pause(pauses.next().value);
      }
    }
  }

  /** From init to stop: until the driver fails, the Device changes, or the end. @throws what the driver does */
  async #life(onRead: () => void): Promise<void> {
    const driver = this.#parts.driver(this.#plan.device);
    try {
      await driver.init();
      this.#renew();
      while (!this.#stop.signal.aborted && !this.#isNew) {
        await this.#step(driver);
        onRead();
        await this.#report();
        if (!this.#isNew) await this.#pause(this.#nextMs());
      }
    } finally {
      await this.#end(driver);
    }
  }

  async #end(driver: Driver): Promise<void> {
    try {
      await driver.stop();
    } catch (error) {
      const { log, key } = this.#parts;
      log.warn("a device cannot be stopped", { device: key, error: describeError(error) });
    }
  }

  /** Readings of the properties of the plan; those that were there keep what is known. */
  #renew(): void {
    const nowMs = this.#parts.clock.monotonicMs();
    const names = new Set(this.#plan.properties.map(({ property }) => property.name));
    for (const name of this.#readings.keys()) if (!names.has(name)) this.#readings.delete(name);
    for (const planned of this.#plan.properties) {
      const { name } = planned.property;
      const fresh = { value: undefined, reported: undefined, written: "" };
      this.#readings.set(name, {
        ...fresh,
        ...this.#readings.get(name),
        planned,
        readMs: nowMs,
        reportMs: nowMs,
      });
    }
  }

  /** Writes what is desired and reads what is due. */
  async #step(driver: Driver): Promise<void> {
    for (const planned of this.#plan.properties) {
      const reading = this.#readings.get(planned.property.name);
      if (!reading) continue;
      reading.planned = planned;
      await this.#write(driver, reading);
      if (this.#parts.clock.monotonicMs() < reading.readMs) continue;
      await this.#read(driver, reading);
    }
    this.#state = "online";
  }

  async #write(driver: Driver, reading: Reading): Promise<void> {
    const { property, desired } = reading.planned;
    if (desired === reading.written) return;
    if (desired !== "" && property.accessMode === "ReadWrite") {
      const value = this.#tried(property.name, () => valueOfText(desired, property.type));
      if (value !== undefined) await driver.write(property, value);
    }
    reading.written = desired;
    reading.readMs = 0;
  }

  async #read(driver: Driver, reading: Reading): Promise<void> {
    const { property, collectMs: given } = reading.planned;
    reading.readMs = this.#parts.clock.monotonicMs() + Math.max(fastestMs, given || collectMs);
    const value = await driver.read(property);
    if (value === undefined) return;
    reading.value = this.#tried(property.name, () => textOfValue(value, property.type)) ?? reading.value;
  }

  /** A value of another type is no failure of the device. */
  #tried<T>(property: string, make: () => T): T | undefined {
    try {
      return make();
    } catch (error) {
      const { log, key } = this.#parts;
      log.warn("a value cannot be used", { device: key, property, error: describeError(error) });
      return undefined;
    }
  }

  /** Never rejects: what was not taken is due again. */
  async #report(): Promise<void> {
    const { edge, key, log, clock } = this.#parts;
    const nowMs = clock.monotonicMs();
    const due = [...this.#readings.values()].filter((reading) => isDue(reading, nowMs));
    try {
      if (due.length > 0) await edge.report(key, due.map(reportedValue), this.#stop.signal);
      for (const reading of due) settle(reading, nowMs);
      if (this.#state !== "" && this.#state !== this.#reportedState) {
        await edge.reportState(key, this.#state, this.#stop.signal);
        this.#reportedState = this.#state;
      }
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      log.warn("edgecore does not take a report, retrying", { device: key, error: describeError(error) });
      for (const reading of due) reading.reportMs = nowMs + firstRetryMs;
    }
  }

  #nextMs(): number {
    const nowMs = this.#parts.clock.monotonicMs();
    const times = [...this.#readings.values()].map(({ readMs }) => readMs - nowMs);
    return Math.max(0, Math.min(refreshMs, ...times));
  }

  async #pause(ms: number): Promise<void> {
    const { signal } = this.#wake;
    if (signal.aborted && !this.#stop.signal.aborted) this.#wake = new AbortController();
    await this.#parts.clock.sleep(ms, { signal }).catch(() => undefined);
  }
}

function isDue({ value, reported, reportMs }: Reading, nowMs: number): boolean {
  if (value === undefined || nowMs < reportMs) return false;
  return value !== reported || nowMs - reportMs >= refreshMs;
}

function reportedValue({ planned, value = "", written }: Reading): ReportedValue {
  return { name: planned.property.name, value, desired: written };
}

function settle(reading: Reading, nowMs: number): void {
  reading.reported = reading.value;
  reading.reportMs = nowMs + reading.planned.reportMs;
}
