import type { Clock } from "#shared/clock";
import { describeError } from "#shared/errors";
import type { Logger } from "#shared/log";
import type { Store, ValueRecord } from "#edge/store";
import type { BoundDevice, DeviceRegistry } from "#edge/device-twin/devices";
import { liveTwin, toCloud, twinToRow, type Twin, type WireTwin } from "#edge/device-twin/twins";

/** A new reported value of a twin, which differs in nothing else. */
export interface ReportedTwinValue {
  readonly device: BoundDevice;
  readonly name: string;
  readonly twin: Twin;
}

/** Values that are in the journal. */
export interface AppendedValues {
  /** What was to be stored with them is stored. */
  readonly keep: () => void;
  /** It is not: they are not in the journal any more. */
  readonly takeBack: () => void;
}

const nothingAppended: AppendedValues = { keep: () => undefined, takeBack: () => undefined };

export interface ValueBufferParts {
  readonly store: Store;
  readonly registry: DeviceRegistry;
  readonly clock: Clock;
  readonly log: Logger;
  /** What a loss of power may take; 0: values are stored in the database before they are answered. */
  readonly flushMs: number;
  readonly historyPerProperty: number;
}

/** Values are stored in the database so often, all of a property together: its blocks cost the most of what is written. */
const storeEveryMs = 300_000;
/** Points that are in the memory, some 100 bytes each. */
const mostPoints = 100_000;
/** A disk that took nothing may take it later. */
const retryMs = 5000;

/**
 * Reported values on their way to the disk. They are answered when they are in the journal of the store, which survives the end of
 * edgecore; after `flushMs` they are on disk. The database gets them every five minutes, or when the journal is full.
 */
export class ValueBuffer implements AsyncDisposable {
  readonly #parts: ValueBufferParts;
  /** Twins whose row is older than the memory. */
  readonly #rows = new Map<string, ReportedTwinValue["device"]>();
  #flush: Disposable | undefined;
  #due: Disposable | undefined;
  /** The database did not take them; another attempt is due. */
  #isRefused = false;
  #isClosed = false;

  constructor(parts: ValueBufferParts) {
    this.#parts = parts;
  }

  /** Takes over into the memory what a process left in the journal that was killed, or lost its power. */
  recover(): void {
    const { store, registry, log } = this.#parts;
    for (const record of store.values.read()) {
      const device = registry.get(record.deviceId);
      if (device) this.#recoverValue(device, record);
    }
    if (this.#rows.size > 0)
      log.info("recovered values that were not in the database yet", { twins: this.#rows.size });
  }

  /** Stores what was recovered, once it is known what of it the cloud gets. @param report adds twins to the reports to the cloud */
  storeRecovered(
    report: (device: BoundDevice, twins: readonly (readonly [string, WireTwin])[]) => void,
  ): void {
    if (this.#parts.store.values.isEmpty) return;
    for (const [key, device] of this.#rows) {
      const name = key.slice(device.id.length + 1);
      const twin = device.twins.get(name);
      if (twin) report(device, [[name, toCloud(twin)]]);
    }
    this.#storeNow();
  }

  /**
   * The values survive the end of edgecore when it returns. Call one of what it returns before anything else is done.
   * @param options.isAlone nothing else is to be stored with them
   * @returns undefined when they have to be stored otherwise
   * @throws when neither the journal nor the database can be expected to take them
   */
  append(
    values: readonly ReportedTwinValue[],
    { isAlone }: { readonly isAlone: boolean },
  ): AppendedValues | undefined {
    if (values.length === 0) return nothingAppended;
    const { store, log, flushMs } = this.#parts;
    if (flushMs === 0 || this.#isClosed) return undefined;
    if (this.#isRefused && this.#isFull) {
      // An attempt for each value would try to store all of the history that waits, each time.
      if (isAlone) throw new Error("the journal of values is full, and the database takes none");
      return undefined;
    }
    try {
      const takeBack = store.values.append(values.map(recordOf));
      return { takeBack, keep: () => this.#kept(values) };
    } catch (error) {
      log.warn("cannot write values to the journal", { error: describeError(error) });
      return undefined;
    }
  }

  get #isFull(): boolean {
    const { values, telemetry } = this.#parts.store;
    return values.isFull || telemetry.pendingPoints > mostPoints;
  }

  #kept(values: readonly ReportedTwinValue[]): void {
    const { clock, flushMs } = this.#parts;
    for (const { device, name, twin } of values) this.#keep(device, name, twin);
    this.#flush ??= clock.after(flushMs, () => void this.#sync());
    this.#due ??= clock.after(storeEveryMs, () => this.#storeNow());
    if (this.#isFull) this.#storeNow();
  }

  /** The row of a twin was stored with something else. */
  stored(key: string): void {
    this.#rows.delete(key);
  }

  /** Stores everything in the transaction of the caller. @returns what to call when it is committed */
  storeAll(): () => void {
    const { store, registry, historyPerProperty } = this.#parts;
    for (const [key, device] of this.#rows) {
      const name = key.slice(device.id.length + 1);
      const twin = device.twins.get(name);
      if (twin && registry.get(device.id) === device) store.twins.put(twinToRow(device.id, name, twin));
    }
    store.telemetry.storeAll(historyPerProperty);
    const keys = store.outbox.storeReports();
    const began = store.values.store();
    return () => {
      this.#rows.clear();
      this.#isRefused = false;
      store.outbox.reportsStored(keys);
      began();
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    this.#flush?.[Symbol.dispose]();
    this.#due?.[Symbol.dispose]();
    const { values } = this.#parts.store;
    await values.idle();
    if (!values.isEmpty) this.#storeNow();
    // The disk may take no commit and still a few sectors.
    if (!values.isEmpty) await this.#sync();
  }

  #keep(device: BoundDevice, name: string, twin: Twin): void {
    const { store, historyPerProperty } = this.#parts;
    const { value = "", timestamp = 0 } = twin.actual ?? {};
    this.#rows.set(`${device.id}\n${name}`, device);
    store.telemetry.addLater(device.id, name, { at: timestamp, value }, historyPerProperty);
  }

  /** What the database has already, or something newer, is left out. */
  #recoverValue(device: BoundDevice, record: ValueRecord): void {
    const { name, version } = record;
    const before = device.twins.get(name);
    if ((before?.actual?.edge ?? -1) >= version) return;
    const twin = recovered(before, record);
    device.twins.set(name, twin);
    this.#keep(device, name, twin);
  }

  async #sync(): Promise<void> {
    const { store, clock, log, flushMs } = this.#parts;
    this.#flush = undefined;
    try {
      await store.values.sync();
    } catch (error) {
      log.warn("cannot write the journal of values to the disk, retrying", { error: describeError(error) });
      if (!this.#isClosed) this.#flush = clock.after(retryMs, () => void this.#sync());
      return;
    }
    if (store.values.isUnsynced && !this.#isClosed)
      this.#flush ??= clock.after(flushMs, () => void this.#sync());
  }

  #storeNow(): void {
    const { store, clock, log } = this.#parts;
    this.#due?.[Symbol.dispose]();
    this.#due = undefined;
    try {
      const committed = store.transaction(() => this.storeAll());
      committed();
    } catch (error) {
      this.#isRefused = true;
      log.warn("cannot store values in the database, retrying", { error: describeError(error) });
      if (!this.#isClosed) this.#due = clock.after(retryMs, () => this.#storeNow());
    }
  }
}

function recordOf({ device, name, twin }: ReportedTwinValue): ValueRecord {
  const { value = "", timestamp = 0, edge = 0 } = twin.actual ?? {};
  return {
    deviceId: device.id,
    uid: device.object?.uid ?? "",
    name,
    type: twin.type,
    value,
    atMs: timestamp,
    version: edge,
  };
}

function recovered(before: Twin | undefined, { type, value, atMs, version }: ValueRecord): Twin {
  const { expected, desired, optional } = liveTwin(before) ?? { optional: true };
  const actual = { value, timestamp: atMs, cloud: before?.actual?.cloud ?? 0, edge: version };
  return { expected, actual, optional, type, desired };
}
