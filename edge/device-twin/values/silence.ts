import type { Clock } from "#shared/clock";
import type { DeviceMapping } from "#shared/devices";
import type { BoundDevice } from "#edge/device-twin/devices";

export interface SilenceParts {
  readonly clock: Pick<Clock, "after" | "monotonicMs">;
  /** The device was silent for the time after which its state is unknown. */
  readonly onSilent: (device: BoundDevice) => void;
  /** The value true of a property has lasted for as long as it may. */
  readonly onOff: (device: BoundDevice, property: string) => void;
}

interface Watched {
  heardMs: number;
  expireAfterMs: number;
  timer: Disposable | undefined;
}

/**
 * What follows from a device that does not report: `expireAfter` of the device and `offDelay` of its properties. Both
 * times start again when the node starts.
 */
export class Silence implements Disposable {
  readonly #parts: SilenceParts;
  readonly #watched = new Map<BoundDevice, Watched>();
  /** By device and property. */
  readonly #offTimers = new Map<BoundDevice, Map<string, Disposable>>();

  constructor(parts: SilenceParts) {
    this.#parts = parts;
  }

  /** The device has this mapping now. */
  watch(device: BoundDevice, mapping: DeviceMapping | undefined): void {
    const before = this.#watched.get(device);
    before?.timer?.[Symbol.dispose]();
    this.#watched.delete(device);
    const expireAfterMs = mapping?.expireAfterMs;
    if (expireAfterMs !== undefined) {
      const heardMs = before?.heardMs ?? this.#parts.clock.monotonicMs();
      const watched: Watched = { heardMs, expireAfterMs, timer: undefined };
      this.#watched.set(device, watched);
      this.#arm(device, watched);
    }
    this.#watchOffDelays(device, mapping);
  }

  /** A message of the device was read. One timer a device: it is only set again when it ends. */
  heard(device: BoundDevice): void {
    const watched = this.#watched.get(device);
    if (!watched) return;
    watched.heardMs = this.#parts.clock.monotonicMs();
    if (!watched.timer) this.#arm(device, watched);
  }

  /** A property reported a value, for which `offDelayMs` holds. */
  reported(device: BoundDevice, name: string, { value, offDelayMs }: ReportedSwitch): void {
    const timers = this.#offTimers.get(device) ?? new Map<string, Disposable>();
    timers.get(name)?.[Symbol.dispose]();
    timers.delete(name);
    if (value === "true") {
      const off = (): void => {
        timers.delete(name);
        this.#parts.onOff(device, name);
      };
      timers.set(name, this.#parts.clock.after(offDelayMs, off));
    }
    if (timers.size > 0) this.#offTimers.set(device, timers);
    else this.#offTimers.delete(device);
  }

  [Symbol.dispose](): void {
    for (const { timer } of this.#watched.values()) timer?.[Symbol.dispose]();
    this.#watched.clear();
    for (const device of this.#offTimers.keys()) this.#dropOffDelays(device, () => true);
  }

  #arm(device: BoundDevice, watched: Watched): void {
    const { clock, onSilent } = this.#parts;
    const left = watched.heardMs + watched.expireAfterMs - clock.monotonicMs();
    watched.timer = clock.after(Math.max(1, left), () => {
      watched.timer = undefined;
      if (clock.monotonicMs() - watched.heardMs < watched.expireAfterMs) this.#arm(device, watched);
      else onSilent(device);
    });
  }

  #watchOffDelays(device: BoundDevice, mapping: DeviceMapping | undefined): void {
    const delays = new Map(mapping?.properties.map(({ name, offDelayMs }) => [name, offDelayMs]));
    this.#dropOffDelays(device, (name) => delays.get(name) === undefined);
    for (const [name, offDelayMs] of delays) {
      const value = device.twins.get(name)?.actual?.value;
      if (offDelayMs === undefined || value !== "true" || this.#offTimers.get(device)?.has(name)) continue;
      this.reported(device, name, { value, offDelayMs });
    }
  }

  #dropOffDelays(device: BoundDevice, isDropped: (name: string) => boolean): void {
    const timers = this.#offTimers.get(device);
    for (const [name, timer] of timers ?? []) {
      if (!isDropped(name)) continue;
      timer[Symbol.dispose]();
      timers?.delete(name);
    }
    if (timers?.size === 0) this.#offTimers.delete(device);
  }
}

interface ReportedSwitch {
  readonly value: string;
  /** Milliseconds after which true becomes false. */
  readonly offDelayMs: number;
}
