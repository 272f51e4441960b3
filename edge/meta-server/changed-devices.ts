import type { Clock } from "#shared/clock";
import type { DeviceName } from "#shared/topics";

/** As often as the cloud writes the status of a device. */
const restMs = 500;

/** Devices whose twins changed, each once in half a second: some report a hundred times in that. */
export class ChangedDevices implements Disposable {
  readonly #clock: Clock;
  readonly #tell: (device: DeviceName) => void;
  readonly #waiting = new Map<string, DeviceName>();
  #timer: Disposable | undefined;

  constructor(clock: Clock, tell: (device: DeviceName) => void) {
    this.#clock = clock;
    this.#tell = tell;
  }

  add(devices: readonly DeviceName[]): void {
    for (const device of devices) this.#waiting.set(`${device.namespace}/${device.name}`, device);
    this.#timer ??= this.#clock.after(restMs, () => this.#flush());
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
  }

  #flush(): void {
    this.#timer = undefined;
    const devices = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const device of devices) this.#tell(device);
  }
}
