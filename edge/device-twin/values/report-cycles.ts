import { cycleMs, type Clock } from "#shared/clock";
import type { BoundDevice, DeviceRegistry } from "#edge/device-twin/devices";
import type { GroupCommit } from "#edge/device-twin/outbox";
import { isNewValueOnly, listedProperty, toCloud, type TwinChange } from "#edge/device-twin/twins";

export interface ReportCyclesParts {
  readonly commit: GroupCommit;
  readonly registry: DeviceRegistry;
  readonly clock: Pick<Clock, "after" | "monotonicMs" | "nowMs">;
}

interface Cycle {
  reportedMs: number;
  /** Set while a value waits for the end of the cycle. */
  timer: Disposable | undefined;
}

/**
 * `reportCycle` of the properties of a Device: their values are reported to the cloud at once, and then the newest of each cycle at
 * its end. What waits is not on disk; a start reports such properties again.
 */
export class ReportCycles implements Disposable {
  readonly #parts: ReportCyclesParts;
  readonly #cycles = new WeakMap<BoundDevice, Map<string, Cycle>>();
  readonly #waiting = new Map<Cycle, () => void>();

  constructor(parts: ReportCyclesParts) {
    this.#parts = parts;
  }

  /** @returns whether the change is reported later, which is seen to */
  holds(device: BoundDevice, change: TwinChange): boolean {
    const lengthMs = cycleOf(device, change.name);
    if (lengthMs === 0 || !isNewValueOnly(change)) return false;
    const { clock } = this.#parts;
    const nowMs = clock.monotonicMs();
    const cycles = this.#cycles.get(device) ?? new Map<string, Cycle>();
    this.#cycles.set(device, cycles);
    const cycle = cycles.get(change.name);
    if (!cycle) {
      cycles.set(change.name, { reportedMs: nowMs, timer: undefined });
      return false;
    }
    if (cycle.timer) return true;
    const leftMs = cycle.reportedMs + lengthMs - nowMs;
    if (leftMs <= 0) {
      cycle.reportedMs = nowMs;
      return false;
    }
    this.#wait(device, change.name, { cycle, leftMs });
    return true;
  }

  /** Reports the values of all properties with a cycle: what waited when edgecore ended was not on disk. */
  restored(device: BoundDevice): void {
    const names = (device.listed?.deviceProperties ?? []).map(({ name }) => name);
    for (const name of names) if (cycleOf(device, name) > 0) this.#report(device, name);
  }

  /** Reports what waits now. */
  [Symbol.dispose](): void {
    for (const report of this.#waiting.values()) report();
  }

  #wait(
    device: BoundDevice,
    name: string,
    { cycle, leftMs }: { readonly cycle: Cycle; readonly leftMs: number },
  ): void {
    const { clock, commit } = this.#parts;
    const report = (): void => {
      cycle.timer?.[Symbol.dispose]();
      cycle.timer = undefined;
      cycle.reportedMs = clock.monotonicMs();
      this.#waiting.delete(cycle);
      this.#report(device, name);
      // The commit logs its failures; the next value is reported as well.
      commit.settled().catch(() => undefined);
    };
    cycle.timer = clock.after(leftMs, report);
    this.#waiting.set(cycle, report);
  }

  #report(device: BoundDevice, name: string): void {
    const { commit, registry, clock } = this.#parts;
    const twin = device.twins.get(name);
    if (!twin?.actual || registry.get(device.id) !== device) return;
    commit.reportTwins(device, clock.nowMs(), [[name, toCloud(twin)]], "buffered");
  }
}

/** Milliseconds; 0: each value is reported. */
function cycleOf({ listed }: BoundDevice, name: string): number {
  return cycleMs(listedProperty(listed, name)?.reportCycle) ?? 0;
}
