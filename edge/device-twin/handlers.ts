import { randomUUID } from "node:crypto";
import type { Clock } from "#shared/clock";
import { readReport, type RejectedValue } from "#shared/devices";
import { deviceTopic, nodePrefix, parseDeviceTopic, parseMembershipTopic } from "#shared/mqtt";
import type { MqttMessage } from "#shared/topics";
import { encodeDeviceState } from "#edge/edge-hub/codec";
import type { Answer, Batch, Outgoing } from "#edge/device-twin/outbox";
import {
  commandsFor,
  describeDevice,
  liveTwins,
  shownTwins,
  topicNames,
  type Device,
  type Registry,
} from "#edge/device-twin/devices";
import {
  explainUpdate,
  parseGet,
  parseState,
  parseUpdate,
  type TwinRequests,
  deletedType,
  differs,
  sorted,
  toCloud,
  type WireTwin,
  applyReport,
  applyUpdate,
  documentOf,
  ownProperty,
  type Change,
} from "#edge/device-twin/twins";

export interface HandlerOptions {
  readonly registry: Registry;
  readonly batch: Batch;
  readonly clock: Pick<Clock, "nowMs">;
  readonly node: string;
  /** A sync as the cloud sends it, put on the broker by an application. */
  readonly onCloudUpdated: (device: string, payload: Uint8Array) => Promise<void>;
  /** Told of what a device sent and cannot have in the cloud, or not at all. */
  readonly onMisfit: (device: Device, rejected: readonly RejectedValue[]) => void;
  /** Told of an id that is no device of this node. */
  readonly onStranger: (id: string) => void;
}

/** A device may not be able to do what is wanted: it is not told with each of its reports. */
const remindMs = 30_000;

const stateProblem = `expected {"state": "…"} with online, offline, ok, unknown, disconnected or unhealthy`;
const unknownProperty = "neither the Device nor its model has this property: its value stays on the node";

const states: ReadonlySet<string> = new Set([
  "online",
  "offline",
  "ok",
  "unknown",
  "disconnected",
  "unhealthy",
]);

/** Answers what devices and applications ask over MQTT; see KubeEdge's topics below `$hw/events`. */
export class Handlers {
  readonly #options: HandlerOptions;

  constructor(options: HandlerOptions) {
    this.#options = options;
  }

  /** @returns undefined when the topic is none of ours; else settles with the commit */
  handle(message: MqttMessage): Promise<void> | undefined {
    const { topic, payload } = message;
    const node = parseMembershipTopic(topic);
    if (node !== undefined) return this.#getMembership(node, payload);
    const asked = parseDeviceTopic(topic);
    if (!asked) return undefined;
    switch (asked.verb) {
      case "twin/get":
        return this.#getTwin(asked.device, payload);
      case "twin/update":
        return this.#updateTwin(asked.device, payload);
      case "state/update":
        return this.#updateState(asked.device, payload);
      case "twin/cloud_updated":
        return this.#options.onCloudUpdated(asked.device, payload);
    }
  }

  /** A message of a plain device: read by its mapping, stored as reported values. */
  report(device: Device, { topic, payload }: MqttMessage): Promise<void> | undefined {
    if (!device.mapping) return undefined;
    const { batch, onMisfit } = this.#options;
    const now = this.#options.clock.nowMs();
    const { values, state, rejected } = readReport(device.mapping, topic, payload);
    if (rejected.length > 0) onMisfit(device, rejected);
    const changes = values.map(({ name, value, type }): Change => {
      const before = device.twins.get(name);
      return { name, before, after: applyReport(before, value, type, now) };
    });
    const said = state === undefined ? [] : this.#setState(device, state, now);
    if (changes.length === 0 && said.length === 0) return undefined;
    this.#apply(device, changes);
    const publish = [
      ...said,
      ...this.#afterChange(device, changes, ""),
      ...this.#remind(device, changes, now),
    ];
    return batch.answer({ publish });
  }

  /** What is published when desired values changed in the cloud. */
  afterDesired(device: Device, changes: readonly Change[]): Outgoing[] {
    return this.#afterChange(device, changes, "");
  }

  /** A plain device hears of nothing but commands: one that reports another value than is wanted is told again. */
  #remind(device: Device, changes: readonly Change[], now: number): Outgoing[] {
    const drifted = changes.filter(({ after }) => differs(after)).map(({ name }) => name);
    if (drifted.length === 0) return [];
    return commandsFor(device).filter(({ property }) => {
      const wantedMs = device.twins.get(property)?.expected?.timestamp ?? 0;
      const toldMs = Math.max(wantedMs, device.reminded?.get(property) ?? 0);
      // A clock that was set back must not silence it for long.
      if (!drifted.includes(property) || Math.abs(now - toldMs) < remindMs) return false;
      device.reminded = (device.reminded ?? new Map<string, number>()).set(property, now);
      return true;
    });
  }

  /** Makes changes durable with the batch and tells the cloud of them. */
  #apply(device: Device, changes: readonly Change[]): void {
    if (changes.length === 0) return;
    const { batch, clock } = this.#options;
    const now = clock.nowMs();
    for (const { name, before, after } of changes) {
      batch.setTwin(device, name, after);
      const { actual } = after;
      if (actual && actual !== before?.actual && after.type !== deletedType)
        batch.addPoint(device, name, { at: now, value: actual.value });
    }
    const twins = changes.map(({ name, after }): [string, WireTwin] => [name, toCloud(after)]);
    batch.tellTwins(device, now, twins);
  }

  #getTwin(written: string, payload: Uint8Array): Promise<void> {
    const device = this.#find(written);
    const parsed = parseGet(payload);
    const topic = deviceTopic(written, "twin/get/result");
    const eventId = parsed.ok ? parsed.value.eventId : parsed.eventId;
    if (!parsed.ok) return this.#refuse(topic, eventId, { code: 400, reason: parsed.reason });
    if (!device)
      return this.#refuse(topic, eventId, {
        code: 404,
        reason: `Device ${written} not found while getting twin`,
      });
    return this.#say({ publish: [this.#message(topic, eventId, { twin: shownTwins(device) })] });
  }

  #updateTwin(written: string, payload: Uint8Array): Promise<void> {
    const device = this.#find(written);
    const topic = deviceTopic(written, "twin/update/result");
    const parsed = parseUpdate(payload);
    if (!parsed.ok) {
      if (device) this.#options.onMisfit(device, [{ name: "an update", problem: explainUpdate(payload) }]);
      return this.#refuse(topic, parsed.eventId, { code: 400, reason: parsed.reason });
    }
    const { eventId, twins } = parsed.value;
    if (!device)
      return this.#refuse(topic, eventId, {
        code: 404,
        reason: "Update rejected due to the device is not existed",
      });
    return this.#update(device, { eventId, twins, topic });
  }

  #update(
    device: Device,
    request: { readonly eventId: string; readonly twins: TwinRequests; readonly topic: string },
  ): Promise<void> {
    const { eventId, twins, topic } = request;
    const outcome = applyUpdate(device, twins, this.#options.clock.nowMs());
    if (!outcome.ok) {
      const { name = "an update", reason } = outcome;
      this.#options.onMisfit(device, [{ name: name.slice(0, 128), problem: reason }]);
      return this.#refuse(topic, eventId, outcome);
    }
    this.#tellUnknown(device, outcome.changes);
    this.#apply(device, outcome.changes);
    const result = this.#message(topic, eventId, { twin: outcome.result });
    return this.#say({
      publish: [result, ...this.#afterChange(device, outcome.changes, eventId)],
      onFailure: this.#message(topic, eventId, {
        code: 500,
        reason: "Update twin failed: the change could not be stored",
      }),
    });
  }

  /** As in KubeEdge a client may have twins of its own; one with a slip in its name would be missed in vain. */
  #tellUnknown(device: Device, changes: readonly Change[]): void {
    if (device.own?.isWhole !== true) return;
    const unknown = changes.filter(({ name }) => !ownProperty(device.own, name));
    if (unknown.length > 0)
      this.#options.onMisfit(
        device,
        unknown.map(({ name }) => ({ name, problem: unknownProperty })),
      );
  }

  /** KubeEdge says nothing to a state it does not take. */
  #updateState(written: string, payload: Uint8Array): Promise<void> {
    const device = this.#find(written);
    const topic = deviceTopic(written, "state/update/result");
    const parsed = parseState(payload);
    const isState = parsed.ok && parsed.value.state !== undefined && states.has(parsed.value.state);
    if (device && !isState) this.#options.onMisfit(device, [{ name: "the state", problem: stateProblem }]);
    if (!parsed.ok) return this.#refuse(topic, parsed.eventId, { code: 400, reason: parsed.reason });
    const { eventId, state } = parsed.value;
    if (!device)
      return this.#refuse(topic, eventId, {
        code: 404,
        reason: `Device ${written} not found while updating state`,
      });
    if (state === undefined || !states.has(state))
      return this.#refuse(topic, eventId, {
        code: 400,
        reason: `Update state error, state must be one of ${[...states].join(", ")}`,
      });
    const told = this.#setState(device, state, this.#options.clock.nowMs());
    return this.#say({ publish: told.filter((message) => message.topic === topic) });
  }

  /** Changes the state, tells the cloud and returns what is told to the device. */
  #setState(device: Device, state: string, now: number): Outgoing[] {
    const { batch } = this.#options;
    batch.setState(device, state, localTime(now));
    const payload = tellState(batch, device, now);
    return topicNames(device).map((name) => ({ topic: deviceTopic(name, "state/update/result"), payload }));
  }

  #getMembership(node: string, payload: Uint8Array): Promise<void> {
    const topic = `${nodePrefix}${node}/membership/get/result`;
    const parsed = parseGet(payload);
    if (!parsed.ok) return this.#refuse(topic, parsed.eventId, { code: 400, reason: parsed.reason });
    if (node !== this.#options.node)
      return this.#refuse(topic, parsed.value.eventId, {
        code: 404,
        reason: `Node ${node} is not this node`,
      });
    const devices = [...this.#options.registry.all()].map(describeDevice);
    return this.#say({ publish: [this.#message(topic, parsed.value.eventId, { devices })] });
  }

  #afterChange(device: Device, changes: readonly Change[], eventId: string): Outgoing[] {
    if (changes.length === 0) return [];
    const twin = documentOf(changes);
    const missing = sorted(device.twins).filter(([, one]) => differs(one));
    const delta = Object.fromEntries(missing.map(([name, { expected }]) => [name, expected?.value ?? ""]));
    const [twins, deltaId] = [liveTwins(device), randomUUID()];
    return topicNames(device).flatMap((name) => {
      const document = this.#message(deviceTopic(name, "twin/update/document"), eventId, { twin });
      if (missing.length === 0) return [document];
      return [
        document,
        this.#message(deviceTopic(name, "twin/update/delta"), deltaId, { twin: twins, delta }),
      ];
    });
  }

  #find(written: string): Device | undefined {
    const device = this.#options.registry.find(written);
    if (device) device.spellings.add(written);
    else this.#options.onStranger(written);
    return device;
  }

  #refuse(
    topic: string,
    eventId: string,
    problem: { readonly code: number; readonly reason: string },
  ): Promise<void> {
    const { code, reason } = problem;
    return this.#say({ publish: [this.#message(topic, eventId, { code, reason })] });
  }

  #say(answer: Answer): Promise<void> {
    return this.#options.batch.answer(answer);
  }

  #message(topic: string, eventId: string, body: object): Outgoing {
    const timestamp = this.#options.clock.nowMs();
    return { topic, payload: JSON.stringify({ event_id: eventId, timestamp, ...body }) };
  }
}

/** Tells the cloud the state of a device, as a text. @returns what is published of it */
export function tellState(batch: Batch, device: Device, nowMs: number): string {
  const { id, name, state, lastOnline, object } = device;
  const said = { event_id: randomUUID(), timestamp: nowMs, device: { name, state, last_online: lastOnline } };
  const content = JSON.stringify({
    ...said,
    ...(object?.uid === undefined ? {} : { device_uid: object.uid }),
  });
  batch.tellCloud((stamp) => encodeDeviceState(stamp, id, content), `state/${id}`);
  return JSON.stringify(said);
}

/** "2024-06-10 10:00:00" in the machine's own zone, as KubeEdge writes it. */
function localTime(ms: number): string {
  const at = new Date(ms);
  const two = (part: number): string => String(part).padStart(2, "0");
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${day} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}
