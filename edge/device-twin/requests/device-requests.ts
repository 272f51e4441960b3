import type { Clock } from "#shared/clock";
import { type RejectedValue } from "#shared/devices";
import { deviceTopic, nodePrefix, parseDeviceTopic, parseMembershipTopic } from "#shared/mqtt";
import type { MapperReport, MqttMessage, RefusedValue, ReportedProperty } from "#shared/topics";
import { describeDevice, shownTwins, type BoundDevice, type DeviceRegistry } from "#edge/device-twin/devices";
import {
  deviceMessage,
  durabilityOf,
  type CommitReply,
  type DeviceMessage,
  type Durability,
  type GroupCommit,
} from "#edge/device-twin/outbox";
import {
  applyUpdate,
  listedProperty,
  parseJson,
  type TwinChange,
  type TwinRequests,
} from "#edge/device-twin/twins";
import type { CloudTwins, TwinWriter } from "#edge/device-twin/values";
import { explainUpdate, parseGet, parseState, parseUpdate } from "./request-body.ts";

export interface DeviceRequestsOptions {
  readonly registry: DeviceRegistry;
  readonly commit: GroupCommit;
  readonly writer: TwinWriter;
  readonly clock: Pick<Clock, "nowMs">;
  readonly node: string;
  /** For `twin/cloud_updated`, which applications may publish in place of the cloud. */
  readonly cloudTwins: CloudTwins;
  /** Called with values that are refused, or taken but not shown in the cloud. */
  readonly onRejected: (device: BoundDevice, rejected: readonly RejectedValue[]) => void;
  /** Called with a name in a topic that is not a device of this node. */
  readonly onUnknown: (name: string) => void;
}

const stateProblem = `expected {"state": "…"} with online, offline, ok, unknown, disconnected or unhealthy`;
const unknownProperty = "neither the Device nor its model has this property: its value stays on the node";

/** States of a device in KubeEdge. */
const states: ReadonlySet<string> = new Set([
  "online",
  "offline",
  "ok",
  "unknown",
  "disconnected",
  "unhealthy",
]);

/**
 * Answers requests that devices and applications publish below `$hw/events`: twins, states and members. Topics, bodies
 * and reasons are KubeEdge's (`dtmanager/twin.go`, `device.go`, `membership.go`).
 */
export class DeviceRequests {
  readonly #options: DeviceRequestsOptions;

  constructor(options: DeviceRequestsOptions) {
    this.#options = options;
  }

  /** @returns undefined for topics of other modules; otherwise settles when the answer is published */
  handle(message: MqttMessage): Promise<void> | undefined {
    const { topic, payload } = message;
    const node = parseMembershipTopic(topic);
    if (node !== undefined) return this.#getMembership(node, payload);
    const request = parseDeviceTopic(topic);
    if (!request) return undefined;
    switch (request.verb) {
      case "twin/get":
        return this.#getTwin(request.device, payload);
      case "twin/update":
        return this.#updateTwin(request.device, message);
      case "state/update":
        return this.#updateState(request.device, payload);
      case "twin/cloud_updated":
        return this.#options.cloudTwins.sync(request.device, parseJson(payload) ?? {});
    }
  }

  /**
   * Takes what a mapper reports as if it had published each value on `twin/update` and the state on `state/update`, with the
   * answers on their topics. Settles with the commit. @returns what was refused, undefined for a device that is not here
   */
  async report({ device: name, twins, state }: MapperReport): Promise<readonly RefusedValue[] | undefined> {
    const device = this.#find(name);
    if (!device) return undefined;
    const refused: RefusedValue[] = [];
    const waits: Promise<void>[] = [];
    const refuse = (one: RefusedValue): unknown => refused.push(one);
    for (const one of twins) waits.push(this.#take(device, { name, one, refuse }));
    if (state !== undefined) {
      if (!states.has(state.toLowerCase())) refuse({ name: "the state", problem: stateProblem });
      waits.push(this.#updateState(name, Buffer.from(JSON.stringify({ event_id: "", state }))));
    }
    await Promise.all(waits);
    return refused;
  }

  #take(
    device: BoundDevice,
    report: {
      readonly name: string;
      readonly one: ReportedProperty;
      readonly refuse: (refused: RefusedValue) => unknown;
    },
  ): Promise<void> {
    const { name, one, refuse } = report;
    const expected = one.expected === undefined ? undefined : { value: one.expected };
    const twin = { actual: { value: one.value }, expected, type: one.type };
    const topic = deviceTopic(name, "twin/update/result");
    const onRefused = (problem: string): unknown => refuse({ name: one.name, problem });
    return this.#update(device, {
      eventId: "",
      twins: [[one.name, twin]],
      topic,
      onRefused,
      // The next value follows; a mapper has no use for the last one before a loss of power.
      durability: "buffered",
    });
  }

  #getTwin(name: string, payload: Uint8Array): Promise<void> {
    const device = this.#find(name);
    const parsed = parseGet(payload);
    const topic = deviceTopic(name, "twin/get/result");
    const eventId = parsed.ok ? parsed.value.eventId : parsed.eventId;
    if (!parsed.ok) return this.#refuse(topic, eventId, { code: 400, reason: parsed.reason });
    if (!device)
      return this.#refuse(topic, eventId, {
        code: 404,
        reason: `Device ${name} not found while getting twin`,
      });
    return this.#reply({ publish: [this.#message(topic, eventId, { twin: shownTwins(device) })] });
  }

  #updateTwin(name: string, { payload, qos }: MqttMessage): Promise<void> {
    const device = this.#find(name);
    const topic = deviceTopic(name, "twin/update/result");
    const parsed = parseUpdate(payload);
    if (!parsed.ok) {
      if (device) this.#options.onRejected(device, [{ name: "an update", problem: explainUpdate(payload) }]);
      return this.#refuse(topic, parsed.eventId, { code: 400, reason: parsed.reason });
    }
    const { eventId, twins } = parsed.value;
    if (!device)
      return this.#refuse(topic, eventId, {
        code: 404,
        reason: "Update rejected due to the device is not existed",
      });
    return this.#update(device, { eventId, twins, topic, durability: durabilityOf(qos) });
  }

  #update(
    device: BoundDevice,
    request: {
      readonly eventId: string;
      readonly twins: TwinRequests;
      readonly topic: string;
      readonly onRefused?: (reason: string) => unknown;
      readonly durability: Durability;
    },
  ): Promise<void> {
    const { eventId, twins, topic, durability } = request;
    const outcome = applyUpdate(device, twins, this.#options.clock.nowMs());
    if (!outcome.ok) {
      const { name = "an update", reason } = outcome;
      this.#options.onRejected(device, [{ name: name.slice(0, 128), problem: reason }]);
      request.onRefused?.(reason);
      return this.#refuse(topic, eventId, outcome);
    }
    this.#reportUnlisted(device, outcome.changes);
    this.#options.writer.write(device, outcome.changes, durability);
    const result = this.#message(topic, eventId, { twin: outcome.result });
    return this.#reply({
      publish: [result, ...this.#options.writer.messages(device, outcome.changes, eventId)],
      onFailure: this.#message(topic, eventId, {
        code: 500,
        reason: "Update twin failed: the change could not be stored",
      }),
    });
  }

  /** As in KubeEdge a client may make twins that are not listed, but a misspelled name should not go unnoticed. */
  #reportUnlisted(device: BoundDevice, changes: readonly TwinChange[]): void {
    if (device.listed?.isComplete !== true) return;
    const unlisted = changes.filter(({ name }) => !listedProperty(device.listed, name));
    if (unlisted.length > 0)
      this.#options.onRejected(
        device,
        unlisted.map(({ name }) => ({ name, problem: unknownProperty })),
      );
  }

  /** KubeEdge does not answer when it refuses a state; a client cannot know then. */
  #updateState(name: string, payload: Uint8Array): Promise<void> {
    const device = this.#find(name);
    const topic = deviceTopic(name, "state/update/result");
    const parsed = parseState(payload);
    const state = parsed.ok && isState(parsed.value.state) ? parsed.value.state : undefined;
    if (device && state === undefined)
      this.#options.onRejected(device, [{ name: "the state", problem: stateProblem }]);
    if (!parsed.ok) return this.#refuse(topic, parsed.eventId, { code: 400, reason: parsed.reason });
    const { eventId } = parsed.value;
    if (!device)
      return this.#refuse(topic, eventId, {
        code: 404,
        reason: `Device ${name} not found while updating state`,
      });
    if (state === undefined)
      return this.#refuse(topic, eventId, {
        code: 400,
        reason: `Update state error, state must be one of ${[...states].join(", ")}`,
      });
    const messages = this.#options.writer.writeState(device, state);
    return this.#reply({ publish: messages.filter((message) => message.topic === topic) });
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
    return this.#reply({ publish: [this.#message(topic, parsed.value.eventId, { devices })] });
  }

  #find(name: string): BoundDevice | undefined {
    const device = this.#options.registry.find(name);
    if (device) device.spellings.add(name);
    else this.#options.onUnknown(name);
    return device;
  }

  #refuse(
    topic: string,
    eventId: string,
    problem: { readonly code: number; readonly reason: string },
  ): Promise<void> {
    const { code, reason } = problem;
    return this.#reply({ publish: [this.#message(topic, eventId, { code, reason })] });
  }

  #reply(reply: CommitReply): Promise<void> {
    return this.#options.commit.reply(reply);
  }

  #message(topic: string, eventId: string, body: object): DeviceMessage {
    return deviceMessage(topic, { eventId, nowMs: this.#options.clock.nowMs() }, body);
  }
}

function isState(state: string | undefined): state is string {
  return state !== undefined && states.has(state);
}
