import { nextTurn } from "#shared/clock";
import { describeError, UnavailableError } from "#shared/errors";
import type { RateLimitedLog } from "#shared/log";
import { textPayload } from "#shared/bytes";
import { encodeUpload, isUploadTooLarge, type Stamp } from "#edge/edge-hub/codec";
import type { HistoryPoint, Store } from "#edge/store";
import type { DeviceAttribute, BoundDevice, DeviceRegistry } from "#edge/device-twin/devices";
import { listedProperty, twinToRow, type Twin, type WireTwin } from "#edge/device-twin/twins";
import type { DeviceMessage } from "./device-message.ts";
import type { Durability } from "./durability.ts";
import { reportTwins } from "./twin-reports.ts";
import type { ReportedTwinValue, ValueBuffer } from "./value-buffer.ts";

/** What one request publishes. Each request of a commit has its own, so that a failure can be answered. */
export interface CommitReply {
  /** Published after the commit, in order. */
  readonly publish: readonly DeviceMessage[];
  /**
   * Published instead when the commit fails: the client is informed, so that the request is not an error for the
   * broker.
   */
  readonly onFailure?: DeviceMessage | undefined;
}

export interface GroupCommitOptions {
  readonly store: Store;
  readonly registry: DeviceRegistry;
  readonly stamp: Stamp;
  readonly log: Pick<RateLimitedLog, "warn">;
  /** Holds values that are not durable when they are answered. */
  readonly buffer: ValueBuffer;
  /** Points of history kept for a property; the oldest are overwritten. */
  readonly historyPerProperty: number;
  readonly publish: (message: DeviceMessage) => void;
  /** Called when an upload is dropped because it is too large, before the loss is on disk. */
  readonly onTooLarge: () => void;
  /** Called after a commit that put so many bytes into the outbox. */
  readonly onQueued: (bytes: number) => void;
  /** Called after a commit with the devices whose twins or state changed. */
  readonly onChanged: (devices: ReadonlySet<BoundDevice>) => void;
}

/** What a report adds to the outbox, about; it takes the place of one that waits, if any. */
const usualReportBytes = 400;

type Write = (store: Store) => void;

interface Failure {
  readonly cause: unknown;
}

/**
 * Group commit: all changes within one turn of the event loop share a transaction, whose cost on disk hardly depends on
 * their number. Memory is changed at once, so that requests see each other in order; nothing is published before it is
 * on disk. When a commit fails, memory is rolled back to what the disk holds and everything that waits for the commit
 * rejects: nothing may be acknowledged.
 */
export class GroupCommit {
  readonly #options: GroupCommitOptions;
  #rows = new Map<string, { readonly device: BoundDevice; readonly name: string }>();
  #devices = new Set<BoundDevice>();
  #writes: Write[] = [];
  #values: ReportedTwinValue[] = [];
  /** Devices whose report is stored in the same commit. */
  #reports = new Set<string>();
  #reported = 0;
  /** Something has a lower version than before: a start would take what the journal has of it for something newer. */
  #isOlder = false;
  #rollbacks: (() => void)[] = [];
  #messages: { readonly lane: string; readonly key: string | undefined; readonly frame: string }[] = [];
  #replies: CommitReply[] = [];
  /** The next commit; never rejects. */
  #outcome: Promise<Failure | undefined> | undefined;
  #stored: Promise<void> | undefined;

  constructor(options: GroupCommitOptions) {
    this.#options = options;
  }

  /**
   * Adds the messages of a request. Resolves after the commit, when they or `onFailure` are published.
   * @throws UnavailableError when the commit fails and there is no `onFailure`
   */
  reply(reply: CommitReply): Promise<void> {
    this.#replies.push(reply);
    return reply.onFailure ? this.#flushed().then(() => undefined) : this.settled();
  }

  /**
   * Resolves when everything added so far is on disk.
   * @throws UnavailableError when the commit fails
   */
  settled(): Promise<void> {
    if (this.#stored) return this.#stored;
    this.#stored = this.#flushed().then((failure) => {
      if (failure) throw notStored(failure);
    });
    // The failure is logged: a caller that does not wait for the commit must not end the process.
    this.#stored.catch(() => undefined);
    return this.#stored;
  }

  /** Resolves when everything added so far is on disk or has failed; for shutdown. */
  async drained(): Promise<void> {
    await this.#flushed();
  }

  /** Adds what restores memory of the caller when the commit fails. It does not start a commit: wait for `settled`. */
  onRollback(restore: () => void): void {
    this.#rollbacks.push(restore);
  }

  #flushed(): Promise<Failure | undefined> {
    this.#outcome ??= nextTurn().then(() => this.#flush());
    return this.#outcome;
  }

  setTwin(device: BoundDevice, name: string, twin: Twin | undefined): void {
    const before = device.twins.get(name);
    put(device.twins, name, twin);
    this.#rollbacks.push(() => put(device.twins, name, before));
    this.#rows.set(`${device.id}\n${name}`, { device, name });
    if (versionOf(twin) < versionOf(before)) this.#isOlder = true;
  }

  /** As `setTwin` and `addPoint`, for a new reported value that is buffered: its twin differs in nothing else. */
  setValue(device: BoundDevice, name: string, twin: Twin): void {
    const before = device.twins.get(name);
    put(device.twins, name, twin);
    this.#rollbacks.push(() => put(device.twins, name, before));
    this.#values.push({ device, name, twin });
  }

  /** Adds a write of the caller, in the same transaction. */
  write(work: (store: Store) => void): void {
    this.#writes.push(work);
  }

  addPoint(device: BoundDevice, name: string, point: HistoryPoint): void {
    const { historyPerProperty } = this.#options;
    this.#writes.push((store) => store.telemetry.add(device.id, name, point, historyPerProperty));
  }

  setState(device: BoundDevice, state: string, lastOnline: string): void {
    const before = { state: device.state, lastOnline: device.lastOnline };
    this.#rollbacks.push(() => Object.assign(device, before));
    Object.assign(device, { state, lastOnline });
    this.#devices.add(device);
  }

  setAttribute(device: BoundDevice, name: string, attribute: DeviceAttribute | undefined): void {
    const before = device.attributes.get(name);
    put(device.attributes, name, attribute);
    this.#rollbacks.push(() => put(device.attributes, name, before));
    this.#writes.push((store) =>
      attribute
        ? store.devices.putAttribute({ deviceId: device.id, name, ...attribute })
        : store.devices.removeAttribute(device.id, name),
    );
  }

  addDevice(device: BoundDevice): void {
    const { registry } = this.#options;
    registry.add(device);
    this.#rollbacks.push(() => registry.remove(device.id));
    this.#devices.add(device);
  }

  removeDevice(device: BoundDevice): void {
    const { registry } = this.#options;
    registry.remove(device.id);
    this.#rollbacks.push(() => registry.add(device));
    this.#devices.delete(device);
    this.#isOlder = true;
    for (const name of device.twins.keys()) this.#rows.delete(`${device.id}\n${name}`);
    const state = { ...device };
    this.#writes.push((store) => {
      store.devices.remove(state.id);
      store.telemetry.forget(state.id);
    });
  }

  /** A message for the cloud, stored in the same commit. @param key it replaces the older message with this key */
  report(encodeFrame: (stamp: Stamp) => string, key?: string): void {
    this.#messages.push({ lane: "twin", key, frame: encodeFrame(this.#options.stamp) });
  }

  /**
   * Reports twins of a device to the cloud, together with those it was not told of yet. By the uid the cloud ignores them for a later
   * device of the same name.
   */
  reportTwins(
    device: BoundDevice,
    nowMs: number,
    twins: readonly (readonly [string, WireTwin])[],
    durability: Durability = "durable",
  ): void {
    const { store, stamp } = this.#options;
    const reported = twins.flatMap(([name, twin]) => {
      const shown = listedProperty(device.listed, name)?.isKept === true ? withoutValue(twin) : twin;
      return shown ? [[name, shown] as const] : [];
    });
    if (reported.length === 0) return;
    const { key, undo } = reportTwins(
      { outbox: store.outbox, stamp },
      { deviceId: device.id, uid: device.object?.uid, nowMs, twins: reported },
    );
    this.#rollbacks.push(undo);
    this.#reported += 1;
    if (durability === "durable") this.#reports.add(key);
  }

  /** A message of a device that the cloud gets unchanged. One that is too large to be sent is dropped and counted. */
  upload(topic: string, payload: Uint8Array): void {
    const content = textPayload(payload);
    if (isUploadTooLarge(content)) return this.#drop(topic, payload.length);
    const frame = encodeUpload(this.#options.stamp, topic, content);
    this.#messages.push({ lane: "upload", key: undefined, frame });
  }

  #drop(topic: string, length: number): void {
    const { stamp, log, onTooLarge } = this.#options;
    log.warn("dropped an upload that is larger than the cloud accepts", {
      topic: topic.slice(0, 256),
      length,
    });
    this.#writes.push((store) => store.losses.add("droppedUploads", 1, stamp.nowMs()));
    onTooLarge();
  }

  #flush(): Failure | undefined {
    const { publish, onQueued, onChanged, log } = this.#options;
    const replies = this.#replies;
    const changed = this.#changed();
    let failure: Failure | undefined;
    let queued = 0;
    try {
      queued = this.#store();
    } catch (cause) {
      failure = { cause };
      for (const restore of this.#rollbacks.toReversed()) restore();
      log.warn("cannot store device changes", { error: describeError(cause), requests: replies.length });
    }
    this.#reset();
    for (const reply of replies) {
      if (!failure) for (const message of reply.publish) publish(message);
      else if (reply.onFailure) publish(reply.onFailure);
    }
    if (changed.size > 0 && !failure) onChanged(changed);
    if (queued > 0 && !failure) onQueued(queued);
    return failure;
  }

  #changed(): Set<BoundDevice> {
    const changed = new Set(this.#devices);
    for (const { device } of [...this.#rows.values(), ...this.#values]) changed.add(device);
    return changed;
  }

  /**
   * Values go to the journal, unless their twin is stored at once or the journal begins again. They go there first: what the database
   * takes is on disk for good, what the journal takes can be taken back.
   * @returns bytes for the cloud
   */
  #store(): number {
    const { buffer } = this.#options;
    const durable =
      this.#rows.size + this.#devices.size + this.#writes.length + this.#messages.length + this.#reports.size;
    const isStored = ({ device, name }: ReportedTwinValue): boolean =>
      this.#isOlder || this.#rows.has(`${device.id}\n${name}`);
    const buffered = this.#values.filter((value) => !isStored(value));
    const appended = buffer.append(buffered, { isAlone: durable === 0 });
    const values = appended ? this.#values.filter(isStored) : this.#values;
    let bytes = 0;
    try {
      if (durable + values.length > 0) bytes = this.#storeDurable(values, { isAll: !appended });
    } catch (error) {
      appended?.takeBack();
      throw error;
    }
    appended?.keep();
    return bytes + this.#reported * usualReportBytes;
  }

  /** @param options.isAll also the reports to the cloud that could wait */
  #storeDurable(values: readonly ReportedTwinValue[], { isAll }: { readonly isAll: boolean }): number {
    const { store, buffer } = this.#options;
    const { outbox, devices } = store;
    const rows = new Map(this.#rows);
    for (const { device, name } of values) rows.set(`${device.id}\n${name}`, { device, name });
    const { bytes, reports, stored } = store.transaction(() => {
      for (const write of this.#writes) write(store);
      for (const { id, name, description, state, lastOnline } of this.#devices)
        devices.put({ id, name, description, state, lastOnline });
      this.#addPoints(values);
      for (const { device, name } of rows.values()) this.#storeTwin(device, name);
      for (const key of this.#reports) outbox.storeReport(key);
      const reports = isAll ? outbox.storeReports() : this.#reports;
      let sum = 0;
      for (const { lane, key, frame } of this.#messages) {
        outbox.put(lane, key, frame);
        sum += Buffer.byteLength(frame);
      }
      // The journal must not have values of what is gone: another device or property may get its name.
      return { bytes: sum, reports, stored: this.#isOlder ? buffer.storeAll() : undefined };
    });
    outbox.reportsStored(reports);
    stored?.();
    for (const key of rows.keys()) buffer.stored(key);
    return bytes;
  }

  #storeTwin(device: BoundDevice, name: string): void {
    const { store, historyPerProperty } = this.#options;
    store.telemetry.store(device.id, name, historyPerProperty);
    const twin = device.twins.get(name);
    if (twin) store.twins.put(twinToRow(device.id, name, twin));
    else store.twins.remove(device.id, name);
  }

  #addPoints(values: readonly ReportedTwinValue[]): void {
    const { store, historyPerProperty } = this.#options;
    for (const { device, name, twin } of values) {
      const { value = "", timestamp: at = 0 } = twin.actual ?? {};
      store.telemetry.add(device.id, name, { at, value }, historyPerProperty);
    }
  }

  #reset(): void {
    this.#rows = new Map();
    this.#devices = new Set();
    this.#writes = [];
    this.#values = [];
    this.#reports = new Set();
    this.#reported = 0;
    this.#isOlder = false;
    this.#rollbacks = [];
    this.#messages = [];
    this.#replies = [];
    this.#outcome = undefined;
    this.#stored = undefined;
  }
}

/** Of a reported value, on this node. */
function versionOf(twin: Twin | undefined): number {
  return twin?.actual?.edge ?? -1;
}

/** What the cloud gets of a property whose values stay on the node: what is expected of it. */
function withoutValue({ expected, expected_version, optional, metadata }: WireTwin): WireTwin | undefined {
  return expected && { expected, optional, metadata, ...(expected_version && { expected_version }) };
}

function notStored({ cause }: Failure): UnavailableError {
  return new UnavailableError("not-stored", `Cannot store device changes: ${describeError(cause)}`, {
    cause,
  });
}

function put<T>(map: Map<string, T>, name: string, value: T | undefined): void {
  if (value === undefined) map.delete(name);
  else map.set(name, value);
}
