import type { Clock } from "#shared/clock";
import { ClosedError, describeError } from "#shared/errors";
import { backoff } from "#shared/lifecycle";
import type { DriverReport } from "#shared/topics";
import type { DevicePlan, PlannedPoint } from "#edge/drivers/plan";
import type { LinkPool } from "./link-pool.ts";

export interface DeviceRunnerParts<Connection, Place> {
  readonly pool: LinkPool<Connection, Place>;
  readonly clock: Clock;
  /** Takes a report. @returns false when it could not be stored, so that it is given again */
  readonly report: (report: Omit<DriverReport, "name" | "namespace">) => Promise<boolean>;
  /** Problems of the device and of its properties, whenever they change. Empty: none any more. */
  readonly onProblems: (problems: ReadonlyMap<string, string>) => void;
}

/** Waits after a device did not answer. */
const silence = { firstMs: 1_000, capMs: 60_000 } as const;
/** A desired value that the device did not take is written again after so long. */
const rewriteMs = 30_000;

/** Name under which the problem of the connection is reported. */
export const connectionProblem = "";

/**
 * Keeps one device and its twin in step: reads each property at its cycle, reports what changed, and writes desired values
 * that the device does not have. A property whose turn comes while another call is under way is read once, not twice.
 */
export class DeviceRunner<Connection, Place> implements AsyncDisposable {
  readonly #parts: DeviceRunnerParts<Connection, Place>;
  readonly #stopped = new AbortController();
  readonly #problems = new Map<string, string>();
  /** What was read last and reported. */
  readonly #values = new Map<string, string>();
  /** When a property is read next, monotonic milliseconds. */
  readonly #due = new Map<string, number>();
  /** What was written last of a property, and when. */
  readonly #written = new Map<string, { readonly value: string; readonly ms: number }>();
  readonly #running: Promise<void>;
  #plan: DevicePlan<Connection, Place>;
  #wake = Promise.withResolvers<void>();
  #state: "offline" | "online" | undefined;

  constructor(parts: DeviceRunnerParts<Connection, Place>, plan: DevicePlan<Connection, Place>) {
    this.#parts = parts;
    this.#plan = plan;
    this.#running = this.#run();
  }

  /** The same connection with other properties or desired values. */
  change(plan: DevicePlan<Connection, Place>): void {
    const names = new Set(plan.points.map(({ property }) => property.name));
    for (const map of [this.#values, this.#due, this.#written, this.#problems])
      for (const name of map.keys()) if (name !== connectionProblem && !names.has(name)) map.delete(name);
    this.#plan = plan;
    this.#wake.resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped.abort(new ClosedError("the device was removed"));
    this.#wake.resolve();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { clock, pool } = this.#parts;
    await using _link = pool.join(this.#plan.connection);
    let waits = backoff({ ...silence, random: () => clock.random() });
    while (!this.#stopped.signal.aborted) {
      try {
        await this.#turn();
        if (this.#state === "online") waits = backoff({ ...silence, random: () => clock.random() });
        await this.#untilDue();
      } catch (error) {
        if (this.#stopped.signal.aborted || error instanceof ClosedError) break;
        await this.#unreachable(describeError(error));
        await this.#sleep(waits.next().value);
      }
    }
  }

  /** Reads what is due, writes what is desired and not there, and reads that back. */
  async #turn(): Promise<void> {
    this.#wake = Promise.withResolvers();
    await this.#read(this.#duePoints());
    for (const point of this.#plan.points) await this.#write(point);
    await this.#read(this.#duePoints());
  }

  #duePoints(): PlannedPoint<Place>[] {
    const nowMs = this.#parts.clock.monotonicMs();
    return this.#plan.points.filter(({ property }) => (this.#due.get(property.name) ?? 0) <= nowMs);
  }

  async #read(points: readonly PlannedPoint<Place>[]): Promise<void> {
    if (points.length === 0) return;
    const { clock, pool } = this.#parts;
    const { connection } = this.#plan;
    const beganMs = clock.monotonicMs();
    const readings = await pool.call(connection, (link, signal) => link.read(connection, points, signal));
    const values: { readonly name: string; readonly value: string }[] = [];
    for (const [index, { property, cycleMs }] of points.entries()) {
      const reading = readings[index] ?? { problem: "the driver gave no value" };
      // Turns that passed while the device was asked are not made up for.
      const turnsMs = Math.floor((clock.monotonicMs() - beganMs) / cycleMs) * cycleMs;
      this.#due.set(property.name, beganMs + turnsMs + cycleMs);
      if ("problem" in reading) this.#problems.set(property.name, reading.problem);
      else {
        this.#problems.delete(property.name);
        if (reading.value !== this.#values.get(property.name))
          values.push({ name: property.name, value: reading.value });
      }
    }
    await this.#report(values, "online");
  }

  /** Stores what changed; a value that could not be stored is reported again with its next reading. */
  async #report(values: DriverReport["values"], state: "offline" | "online"): Promise<void> {
    const isNew = state !== this.#state;
    if (state === "online") this.#problems.delete(connectionProblem);
    this.#parts.onProblems(new Map(this.#problems));
    if (values.length === 0 && !isNew) return;
    if (!(await this.#parts.report({ values, ...(isNew ? { state } : {}) }))) return;
    this.#state = state;
    for (const { name, value } of values) this.#values.set(name, value);
  }

  async #unreachable(problem: string): Promise<void> {
    this.#problems.set(connectionProblem, problem);
    // A device that comes back may have forgotten what it was told.
    for (const map of [this.#values, this.#due, this.#written]) map.clear();
    await this.#report([], "offline");
  }

  /** A desired value is written when the device has another one, read back at once, and written again each 30 s until it is taken. */
  async #write(point: PlannedPoint<Place>): Promise<void> {
    const { clock, pool } = this.#parts;
    const { connection } = this.#plan;
    const { property, desired, isWritable } = point;
    if (desired === undefined || !isWritable || isSame(desired, this.#values.get(property.name))) return;
    const nowMs = clock.monotonicMs();
    const last = this.#written.get(property.name);
    if (last?.value === desired && nowMs - last.ms < rewriteMs) return;
    const refused = await pool.call(connection, (link, signal) =>
      link.write(connection, point, desired, signal),
    );
    this.#written.set(property.name, { value: desired, ms: nowMs });
    if (refused === undefined) this.#due.delete(property.name);
    const key = `${property.name} = ${desired}`;
    for (const known of this.#problems.keys())
      if (known.startsWith(`${property.name} = `)) this.#problems.delete(known);
    if (refused !== undefined) this.#problems.set(key, refused);
  }

  #untilDue(): Promise<void> {
    const nowMs = this.#parts.clock.monotonicMs();
    const next = Math.min(
      ...this.#plan.points.map(({ property }) => this.#due.get(property.name) ?? nowMs),
      nowMs + rewriteMs,
    );
    return this.#sleep(Math.max(next - nowMs, 0));
  }

  /** Ends early when the device is changed or removed. */
  async #sleep(ms: number): Promise<void> {
    const timer = Promise.withResolvers<void>();
    using _timer = this.#parts.clock.after(ms, () => timer.resolve());
    await Promise.race([timer.promise, this.#wake.promise]);
  }
}

/** Whether a device has what is desired: 21 is 21.0. */
function isSame(desired: string, value: string | undefined): boolean {
  if (value === undefined || desired === value) return desired === value;
  return desired.trim() !== "" && value.trim() !== "" && Number(desired) === Number(value);
}
