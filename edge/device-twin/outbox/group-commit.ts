import { describeError, UnavailableError } from "#shared/errors";
import type { Seldom } from "#shared/log";
import { encodeTwinReport, encodeUpload, isUploadTooLarge, type Stamp } from "#edge/edge-hub/codec";
import type { HistoryPoint, Store } from "#edge/store";
import type { DeviceMessage } from "./device-message.ts";
import type { DeviceAttribute, BoundDevice, DeviceRegistry } from "#edge/device-twin/devices";
import { sorted, toRow, type Twin, type WireTwin } from "#edge/device-twin/twins";

/** What one request changes and says. Kept apart from the others of its batch so that a failure can be answered. */
export interface Answer {
  /** Published after the commit, in order. */
  readonly publish: readonly DeviceMessage[];
  /** Published instead when the commit fails: whoever asked knows then, and need not ask again. */
  readonly onFailure?: DeviceMessage | undefined;
}

export interface BatchOptions {
  readonly store: Store;
  readonly registry: DeviceRegistry;
  readonly stamp: Stamp;
  readonly log: Pick<Seldom, "warn">;
  readonly historyPerProperty: number;
  readonly publish: (message: DeviceMessage) => void;
  /** Told of an upload that is given up, before that is on disk. */
  readonly onTooLarge: () => void;
  /** Told after a commit that put bytes into the outbox. */
  readonly onQueued: (bytes: number) => void;
}

type Write = (store: Store) => void;

interface Failure {
  readonly cause: unknown;
}

/**
 * Group commit: everything asked within one turn of the event loop shares a transaction. Memory is changed at once,
 * so that requests see each other in order; nothing is told to anybody before it is on disk. When a commit fails,
 * memory goes back to what the disk holds, and whoever waits for the commit hears of it: nothing may be acknowledged.
 */
export class Batch {
  readonly #options: BatchOptions;
  #rows = new Map<string, { readonly device: BoundDevice; readonly name: string }>();
  #devices = new Set<BoundDevice>();
  #writes: Write[] = [];
  #undo: (() => void)[] = [];
  #messages: { readonly lane: string; readonly key: string | undefined; readonly frame: string }[] = [];
  #answers: Answer[] = [];
  /** The commit to come; never rejects. */
  #outcome: Promise<Failure | undefined> | undefined;
  #stored: Promise<void> | undefined;

  constructor(options: BatchOptions) {
    this.#options = options;
  }

  /**
   * Adds what a request says. Resolves when it is on disk and published, or refused by its `onFailure`.
   * @throws UnavailableError when it is not on disk and nobody was told
   */
  answer(answer: Answer): Promise<void> {
    this.#answers.push(answer);
    return answer.onFailure ? this.#flushed().then(() => undefined) : this.settled();
  }

  /**
   * Resolves when everything added so far is on disk.
   * @throws UnavailableError when it is not
   */
  settled(): Promise<void> {
    if (this.#stored) return this.#stored;
    this.#stored = this.#flushed().then((failure) => {
      if (failure) throw notStored(failure);
    });
    // It is in the log; one who does not wait for it must not end the process.
    this.#stored.catch(() => undefined);
    return this.#stored;
  }

  /** Resolves when everything added so far is on disk or has failed. */
  async drained(): Promise<void> {
    await this.#flushed();
  }

  /** What else of the memory goes back when the commit fails; whoever adds something waits for the commit as well. */
  undo(back: () => void): void {
    this.#undo.push(back);
  }

  #flushed(): Promise<Failure | undefined> {
    this.#outcome ??= new Promise<void>((resolve) => setImmediate(resolve)).then(() => this.#flush());
    return this.#outcome;
  }

  setTwin(device: BoundDevice, name: string, twin: Twin | undefined): void {
    const before = device.twins.get(name);
    put(device.twins, name, twin);
    this.#undo.push(() => put(device.twins, name, before));
    this.#rows.set(`${device.id}\n${name}`, { device, name });
  }

  addPoint(device: BoundDevice, name: string, point: HistoryPoint): void {
    const { historyPerProperty } = this.#options;
    this.#writes.push((store) => store.telemetry.add(device.id, name, point, historyPerProperty));
  }

  setState(device: BoundDevice, state: string, lastOnline: string): void {
    const before = { state: device.state, lastOnline: device.lastOnline };
    this.#undo.push(() => Object.assign(device, before));
    Object.assign(device, { state, lastOnline });
    this.#devices.add(device);
  }

  setAttribute(device: BoundDevice, name: string, attribute: DeviceAttribute | undefined): void {
    const before = device.attributes.get(name);
    put(device.attributes, name, attribute);
    this.#undo.push(() => put(device.attributes, name, before));
    this.#writes.push((store) =>
      attribute
        ? store.devices.putAttribute({ deviceId: device.id, name, ...attribute })
        : store.devices.removeAttribute(device.id, name),
    );
  }

  addDevice(device: BoundDevice): void {
    const { registry } = this.#options;
    registry.add(device);
    this.#undo.push(() => registry.remove(device.id));
    this.#devices.add(device);
  }

  removeDevice(device: BoundDevice): void {
    const { registry } = this.#options;
    registry.remove(device.id);
    this.#undo.push(() => registry.add(device));
    this.#devices.delete(device);
    for (const name of device.twins.keys()) this.#rows.delete(`${device.id}\n${name}`);
    const state = { ...device };
    this.#writes.push((store) => {
      store.devices.remove(state.id);
      store.telemetry.forget(state.id);
    });
  }

  /** A message for the cloud, stored in the same commit; `key`: it replaces an older one of that key. */
  tellCloud(encodeFrame: (stamp: Stamp) => string, key?: string): void {
    this.#messages.push({ lane: "twin", key, frame: encodeFrame(this.#options.stamp) });
  }

  /** Twins of a device for the cloud. The uid keeps them from a later device of the same name. */
  tellTwins(device: BoundDevice, now: number, twins: readonly (readonly [string, WireTwin])[]): void {
    const uid = device.object?.uid;
    const content = {
      event_id: this.#options.stamp.id(),
      timestamp: now,
      ...(uid === undefined ? {} : { device_uid: uid }),
      twin: Object.fromEntries(sorted(twins)),
    };
    this.tellCloud((stamp) => encodeTwinReport(stamp, device.id, content));
  }

  /** A message of a device for the cloud, passed on as it is; one that could never be sent is given up and counted. */
  upload(topic: string, content: string): void {
    if (isUploadTooLarge(content)) return this.#giveUp(topic, content.length);
    const frame = encodeUpload(this.#options.stamp, topic, content);
    this.#messages.push({ lane: "upload", key: undefined, frame });
  }

  #giveUp(topic: string, length: number): void {
    const { stamp, log, onTooLarge } = this.#options;
    log.warn("gave up an upload: it is larger than the cloud reads", { topic: topic.slice(0, 256), length });
    this.#writes.push((store) => store.losses.add("droppedUploads", 1, stamp.nowMs()));
    onTooLarge();
  }

  #flush(): Failure | undefined {
    const { publish, onQueued, log } = this.#options;
    const answers = this.#answers;
    let failure: Failure | undefined;
    let queued = 0;
    try {
      queued = this.#commit();
    } catch (cause) {
      failure = { cause };
      for (const undo of this.#undo.toReversed()) undo();
      log.warn("cannot store device changes", { error: describeError(cause), requests: answers.length });
    }
    this.#reset();
    for (const answer of answers) {
      if (!failure) for (const message of answer.publish) publish(message);
      else if (answer.onFailure) publish(answer.onFailure);
    }
    if (queued > 0 && !failure) onQueued(queued);
    return failure;
  }

  #commit(): number {
    const messages = this.#messages;
    if (this.#rows.size + this.#devices.size + this.#writes.length + messages.length === 0) return 0;
    const { store } = this.#options;
    return store.transaction(() => {
      for (const write of this.#writes) write(store);
      for (const { id, name, description, state, lastOnline } of this.#devices)
        store.devices.put({ id, name, description, state, lastOnline });
      for (const { device, name } of this.#rows.values()) {
        const twin = device.twins.get(name);
        if (twin) store.twins.put(toRow(device.id, name, twin));
        else store.twins.remove(device.id, name);
      }
      let bytes = 0;
      for (const { lane, key, frame } of messages) {
        store.outbox.put(lane, key, frame);
        bytes += Buffer.byteLength(frame);
      }
      return bytes;
    });
  }

  #reset(): void {
    this.#rows = new Map();
    this.#devices = new Set();
    this.#writes = [];
    this.#undo = [];
    this.#messages = [];
    this.#answers = [];
    this.#outcome = undefined;
    this.#stored = undefined;
  }
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
