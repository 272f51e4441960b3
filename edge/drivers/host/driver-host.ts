import type { Clock } from "#shared/clock";
import type { MappingProblem } from "#shared/devices";
import { describeError } from "#shared/errors";
import type { DeviceEventRecorder } from "#shared/events";
import type { Device, DeviceModel, ObjectReference } from "#shared/kube";
import { KeyedQueue } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import type { DriverReport, RefusedValue } from "#shared/topics";
import type { Driver } from "#edge/drivers/driver";
import { planDevice, type DevicePlan } from "#edge/drivers/plan";
import { connectionProblem, DeviceRunner } from "./device-runner.ts";
import { LinkPool } from "./link-pool.ts";

type AnyDriver = Driver<unknown, unknown>;
type AnyPlan = DevicePlan<unknown, unknown>;

export interface DriverHostParts {
  /** @returns what loads the driver of a protocol; undefined when edgecore has none */
  readonly driverOf: (protocol: string | undefined) => (() => Promise<AnyDriver>) | undefined;
  /** What was not taken of a report; undefined: this node does not have the device yet. */
  readonly report: (report: DriverReport) => Promise<readonly RefusedValue[] | undefined>;
  readonly recorder: Pick<DeviceEventRecorder, "record">;
  readonly clock: Clock;
  readonly log: Logger;
}

interface RunningDevice {
  readonly driver: AnyDriver;
  readonly linkKey: string;
  readonly connection: string;
  readonly runner: DeviceRunner<unknown, unknown>;
}

/** Runs each Device whose protocol edgecore speaks itself. */
export class DriverHost implements AsyncDisposable {
  readonly #parts: DriverHostParts;
  readonly #pools = new Map<AnyDriver, LinkPool<unknown, unknown>>();
  readonly #devices = new Map<string, RunningDevice>();
  /** What is on record as an Event of each device. */
  readonly #told = new Map<string, string>();
  readonly #queue: KeyedQueue<string>;

  constructor(parts: DriverHostParts) {
    this.#parts = parts;
    this.#queue = new KeyedQueue((device, error) =>
      parts.log.error("a device could not be taken over", { device, error: describeError(error) }),
    );
  }

  /** How many devices are run. */
  get size(): number {
    return this.#devices.size;
  }

  /**
   * A Device as it is now, with its model.
   * @param key `<namespace>/<name>`
   * @param device undefined: it is gone, or a mapper has its protocol
   */
  set(key: string, device: Device | undefined, model: DeviceModel | undefined): void {
    this.#queue.run(key, () => this.#apply(key, device, model));
  }

  /** Settles when every change so far is in effect. */
  settled(): Promise<void> {
    return this.#queue.idle();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#queue[Symbol.asyncDispose]();
    const stopping = Promise.all(
      [...this.#devices.values()].map(({ runner }) => runner[Symbol.asyncDispose]()),
    );
    await Promise.all([...this.#pools.values()].map((pool) => pool[Symbol.asyncDispose]()));
    await stopping;
  }

  async #apply(key: string, device: Device | undefined, model: DeviceModel | undefined): Promise<void> {
    const load = device && this.#parts.driverOf(device.spec?.protocol?.protocolName);
    if (!load) {
      await this.#stop(key);
      for (const told of this.#told.keys())
        if (told === key || told.startsWith(`${key} `)) this.#told.delete(told);
      return;
    }
    const driver = await load();
    const { plan, problems } = planDevice(driver, device, model);
    this.#tell(key, device, { reason: "UnusableConfigData", texts: problems.map(describeProblem) });
    if (!plan) {
      await this.#stop(key);
      return;
    }
    const known = this.#devices.get(key);
    const connection = JSON.stringify([device.metadata.uid, plan.connection]);
    if (known?.driver === driver && known.connection === connection) {
      known.runner.change(plan);
      return;
    }
    await this.#stop(key);
    this.#start(key, device, { driver, connection, plan });
  }

  #start(
    key: string,
    device: Device,
    { driver, connection, plan }: Pick<RunningDevice, "connection" | "driver"> & { readonly plan: AnyPlan },
  ): void {
    const { clock } = this.#parts;
    const pool = this.#pools.get(driver) ?? new LinkPool(driver, clock);
    this.#pools.set(driver, pool);
    const runner = new DeviceRunner(
      {
        pool,
        clock,
        report: (report) => this.#report(key, device, report),
        onProblems: (found) => this.#onProblems(key, device, found),
      },
      plan,
    );
    this.#devices.set(key, { driver, connection, linkKey: driver.linkKey(plan.connection), runner });
  }

  async #stop(key: string): Promise<void> {
    const known = this.#devices.get(key);
    this.#devices.delete(key);
    await known?.runner[Symbol.asyncDispose]();
  }

  async #report(
    key: string,
    device: Device,
    report: Omit<DriverReport, "name" | "namespace">,
  ): Promise<boolean> {
    const { namespace = "", name = "" } = device.metadata;
    try {
      const refused = await this.#parts.report({ namespace, name, ...report });
      for (const { name: property, problem } of refused ?? [])
        this.#tell(`${key} ${property}`, device, {
          reason: "ValueNotTaken",
          texts: [`${property}: ${problem}`],
        });
      return refused !== undefined;
    } catch (error) {
      this.#parts.log.warn("values of a device could not be stored", {
        device: key,
        error: describeError(error),
      });
      return false;
    }
  }

  #onProblems(key: string, device: Device, problems: ReadonlyMap<string, string>): void {
    const texts = [...problems].map(([name, problem]) =>
      name === connectionProblem ? problem : `${name}: ${problem}`,
    );
    const reason = problems.has(connectionProblem) ? "DeviceUnreachable" : "DeviceProblem";
    this.#tell(`${key} device`, device, { reason, texts });
  }

  /** An Event whenever the text becomes another one. */
  #tell(
    key: string,
    device: Device,
    { reason, texts }: { readonly reason: string; readonly texts: readonly string[] },
  ): void {
    const message = texts.join("; ");
    if (message === (this.#told.get(key) ?? "")) return;
    if (message === "") {
      this.#told.delete(key);
      return;
    }
    this.#told.set(key, message);
    const { namespace = "default", name = "", uid } = device.metadata;
    const about: ObjectReference = {
      apiVersion: "devices.kubeedge.io/v1beta1",
      kind: "Device",
      namespace,
      name,
      ...(uid ? { uid } : {}),
    };
    this.#parts.log.warn("problem of a device", { device: `${namespace}/${name}`, reason, message });
    void this.#parts.recorder.record(about, reason, message);
  }
}

function describeProblem({ kind, field, value, problem }: MappingProblem): string {
  const shown = value === null ? "" : `: ${JSON.stringify(value).slice(0, 100)}`;
  return `${kind === "DeviceModel" ? "DeviceModel " : ""}${field}${shown}: ${problem}`;
}
