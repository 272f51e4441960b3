import type { Port } from "#shared/bus";
import type { Clock } from "#shared/clock";
import { describeError } from "#shared/errors";
import type { Logger } from "#shared/log";
import type { EdgeCatalog, MqttMessage, TwinDelivery } from "#shared/topics";
import type { Store } from "#edge/store";
import type { DeviceRegistry } from "#edge/device-twin/devices";
import type { HomeAssistantDiscovery } from "#edge/device-twin/discovery";
import type { AttributeUpdates, Membership } from "#edge/device-twin/devices/membership";
import type {
  DeviceObjects,
  LocalChanges,
  LocalValues,
  LocalValueSync,
  OldCommands,
} from "#edge/device-twin/objects";
import { isUpload, type GroupCommit } from "#edge/device-twin/outbox";
import { answerHistory } from "#edge/device-twin/query";
import type { DeviceRequests } from "#edge/device-twin/requests";
import type { CloudTwins, DrivenDevices, PlainDevices, ReportCycles } from "#edge/device-twin/values";

export type DeviceTwinPort = Port<
  EdgeCatalog,
  | "mqtt.publish"
  | "mqtt.watch"
  | "outbox.added"
  | "event.recorded"
  | "object.stored"
  | "devices.changed"
  | "device.reported",
  "cloud.members" | "cloud.desired",
  "link.changed",
  | "mqtt.received"
  | "mqtt.filters"
  | "twin.deliver"
  | "device.changed"
  | "device.desire"
  | "mapper.report"
  | "driver.report"
>;

export interface DeviceTwinParts {
  readonly port: DeviceTwinPort;
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Logger;
  /** Metrics of edgecore for Prometheus, served beside the devices: of itself, or the named part. */
  readonly figures?: ((part: string) => Promise<string | undefined>) | undefined;
}

/** Who takes what clients, devices and the cloud send. */
export interface Receivers {
  readonly registry: DeviceRegistry;
  readonly commit: GroupCommit;
  readonly requests: DeviceRequests;
  readonly plain: PlainDevices;
  readonly driven: DrivenDevices;
  readonly discovery: HomeAssistantDiscovery;
  readonly cloudTwins: CloudTwins;
  readonly membership: Membership;
  readonly attributes: AttributeUpdates;
  readonly cycles: ReportCycles;
  readonly objects: DeviceObjects;
  readonly local: LocalValues;
  readonly changes: LocalChanges;
  readonly sync: LocalValueSync;
  readonly oldCommands: OldCommands;
}

/** Deadline of the question for the members: long enough for a slow link, and asked again with the next link. */
const membersTimeoutMs = 10_000;

/** Passes what comes over the bus to its receiver, until it is disposed. */
export function serveBus(node: string, parts: DeviceTwinParts, receivers: Receivers): Disposable {
  const { port, store } = parts;
  const { registry, objects, plain, discovery, changes, sync, requests } = receivers;
  const stack = new DisposableStack();
  stack.use(port.answer("mqtt.received", (message) => receive(message, receivers)));
  stack.use(
    port.answer("mqtt.filters", async () => {
      receivers.oldCommands.clear();
      return [...plain.filters, ...discovery.filters];
    }),
  );
  stack.use(
    port.answer("twin.deliver", async (delivery) => {
      if (delivery.kind === "history") {
        const { device, question } = delivery;
        return { ack: true, answer: answerHistory({ registry, store }, device, question) };
      }
      await deliver(delivery, receivers);
      return { ack: false };
    }),
  );
  stack.use(
    port.answer("device.changed", async (change) => {
      await objects.change(change);
      return undefined;
    }),
  );
  stack.use(port.answer("device.desire", (change) => changes.desire(change)));
  stack.use(port.answer("mapper.report", (report) => requests.report(report)));
  stack.use(port.answer("driver.report", (report) => receivers.driven.report(report)));
  stack.use(
    port.on("link.changed", ({ connected }) => {
      sync.linkChanged(connected);
      // Not awaited: the answer comes over the link that this event is about.
      if (connected) void askMembers(node, parts, receivers);
    }),
  );
  return stack;
}

const done = Promise.resolve();

/** Settles when all that follows from a message is on disk. @throws UnavailableError when it is not */
async function receive(message: MqttMessage, receivers: Receivers): Promise<undefined> {
  const { requests, plain, discovery, commit } = receivers;
  const waits = [requests.handle(message) ?? discovery.receive(message) ?? done, ...plain.receive(message)];
  if (isUpload(message)) {
    commit.upload(message.topic, message.payload);
    waits.push(commit.settled());
  }
  await Promise.all(waits);
  return undefined;
}

/** Settles with the commit of what the cloud sent. */
function deliver(
  delivery: Exclude<TwinDelivery, { kind: "history" }>,
  { membership, attributes, cloudTwins }: Receivers,
): Promise<void> {
  switch (delivery.kind) {
    case "membership":
      return membership.update(delivery.body);
    case "members":
      return membership.replace(delivery.body);
    case "attributes":
      return attributes.update(delivery.device, delivery.body);
    case "twins":
      return cloudTwins.sync(delivery.device, delivery.body);
  }
}

async function askMembers(node: string, { port, log }: DeviceTwinParts, receivers: Receivers): Promise<void> {
  try {
    const answer = await port.ask("cloud.members", { node, timeoutMs: membersTimeoutMs });
    if (answer && answer.kind !== "history") await deliver(answer, receivers);
  } catch (error) {
    log.debug("cannot get the devices of this node from the cloud", { error: describeError(error) });
  }
}
