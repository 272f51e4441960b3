import { randomUUID } from "node:crypto";
import type { Port } from "#shared/bus";
import type { Clock } from "#shared/clock";
import type { TwinConfig } from "#shared/config";
import { readReport, type RejectedValue } from "#shared/devices";
import { describeError } from "#shared/errors";
import type { Device, DeviceModel } from "#shared/kube";
import { running, type Running } from "#shared/lifecycle";
import { Seldom, type Logger } from "#shared/log";
import { topicMatches } from "#shared/mqtt";
import type { EdgeCatalog, MqttMessage } from "#shared/topics";
import type { HistoryLimits, Store } from "#edge/store";
import { DeviceValues, TwinWriter } from "#edge/device-twin/values";
import { GroupCommit, OutboxBudget } from "#edge/device-twin/outbox";
import { HomeAssistantDiscovery } from "#edge/device-twin/discovery";
import { DeviceEvents } from "#edge/device-twin/events";
import { DeviceRequests } from "#edge/device-twin/requests";
import { contentFields, DeviceObjects } from "#edge/device-twin/objects";
import { answerHistory, serveQueries } from "#edge/device-twin/query";
import { DeviceRegistry, type BoundDevice } from "#edge/device-twin/devices";

export interface DeviceTwinConfig {
  readonly node: string;
  readonly history: HistoryLimits;
  /** Disk for messages that wait for the link; past it the oldest reports are folded. */
  readonly outboxLimitBytes: number;
  /** Where the present and past values can be asked for over HTTP; undefined: nowhere. */
  readonly query: TwinConfig["query"];
  /** Home Assistant's discovery prefix ("homeassistant"): devices found there are offered to the cloud. */
  readonly discoveryPrefix?: string | undefined;
}

export type DeviceTwinPort = Port<
  EdgeCatalog,
  "mqtt.publish" | "mqtt.watch" | "outbox.added" | "event.recorded",
  "cloud.members",
  "link.changed",
  "mqtt.received" | "mqtt.filters" | "twin.deliver" | "device.changed"
>;

export interface DeviceTwinParts {
  readonly port: DeviceTwinPort;
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface DeviceTwin extends Running {
  /** where the query server listens, when there is one */
  readonly queryPort: number | undefined;
  /** Settles when no room is being made in the outbox. */
  readonly roomMade: () => Promise<void>;
}

export const defaultHistory: HistoryLimits = {
  maxAgeMs: 7 * 24 * 3600 * 1000,
  maxPerProperty: 1000,
  maxPoints: 1_000_000,
};

/** Topics whose messages go to the cloud as they are. */
const uploadFilters = [
  "SYS/dis/upload_records",
  "$hw/events/upload/#",
  "$ke/events/+/upload",
  "$ke/events/+/+/upload",
  "$ke/events/+/+/+/upload",
];
const trimEveryMs = 60_000;
const restoreAgainMs = 5000;

/**
 * The devices of this node: their twins, states and history, kept in the store and in step with the cloud. Nothing is
 * answered to a device before it is on disk; requests that arrive together share a commit.
 */
export async function startDeviceTwin(config: DeviceTwinConfig, parts: DeviceTwinParts): Promise<DeviceTwin> {
  const { port, store, clock, log } = parts;
  await using stack = new AsyncDisposableStack();
  const seldom = new Seldom(log, clock);
  const registry = new DeviceRegistry();
  registry.load(store);
  const events = stack.use(makeEvents(config, parts));
  const budget = stack.use(new OutboxBudget(config.outboxLimitBytes, parts, (loss) => events.lost(loss)));
  const commit = makeCommit(config, parts, { registry, events, budget, seldom });
  stack.defer(() => commit.drained());
  const writer = new TwinWriter({ commit, clock });
  const discovery = new HomeAssistantDiscovery(config, commit, { events, log });
  const filters = coalesce(
    () => void port.emit("mqtt.watch", { filters: [...objects.filters, ...discovery.filters] }),
  );
  const objects = new DeviceObjects({
    registry,
    commit,
    writer,
    clock,
    node: config.node,
    events,
    log,
    onFilters: filters,
  });
  const onRejected = ({ id, object }: BoundDevice, values: readonly RejectedValue[]): void => {
    seldom.warn("cannot take what a device sent", { device: id, misfits: values });
    if (object) events.misfits(object, values);
  };
  const values = new DeviceValues({ commit, writer, clock, onRejected });
  const handlers = new DeviceRequests({
    registry,
    commit,
    writer,
    clock,
    node: config.node,
    onCloudUpdated: (device, payload) =>
      objects.sync(device, contentFields(Buffer.from(payload).toString("utf8")) ?? {}),
    onRejected,
    onStranger: (id) =>
      seldom.warn("a message for a device this node does not have", { device: id.slice(0, 256) }),
  });
  stack.use(await restore(objects, parts));
  stack.use(serve(config, parts, { registry, handlers, values, objects, commit, discovery }));
  stack.use(clock.every(trimEveryMs, () => trimHistory(parts, config.history)));
  const query = config.query
    ? stack.use(serveQueries(config.query, { registry, store, clock, log }))
    : undefined;
  log.info("device twin started", { devices: registry.size });
  const owned = stack.move();
  return Object.assign(running("devicetwin", owned), {
    queryPort: query?.port,
    roomMade: () => budget.roomMade(),
  });
}

interface GroupCommitOwners {
  readonly registry: DeviceRegistry;
  readonly events: DeviceEvents;
  readonly budget: OutboxBudget;
  readonly seldom: Seldom;
}

function makeCommit(
  config: DeviceTwinConfig,
  parts: DeviceTwinParts,
  owners: GroupCommitOwners,
): GroupCommit {
  const { port, store, clock } = parts;
  const { registry, events, budget, seldom } = owners;
  return new GroupCommit({
    store,
    registry,
    stamp: { id: () => randomUUID(), nowMs: () => clock.nowMs() },
    log: seldom,
    historyPerProperty: config.history.maxPerProperty,
    publish: ({ topic, payload, retain }) =>
      void port.emit("mqtt.publish", { topic, payload: Buffer.from(payload), ...(retain ? { retain } : {}) }),
    onTooLarge: () => events.lost({ folded: 0, droppedReports: 0, droppedUploads: 1 }),
    onQueued: (bytes) => {
      void port.emit("outbox.added", {});
      budget.queued(bytes);
    },
  });
}

/** A disk that is full at start delays the devices, and holds up nothing else. */
async function restore(objects: DeviceObjects, { store, clock, log }: DeviceTwinParts): Promise<Disposable> {
  let timer: Disposable | undefined;
  const attempt = async (): Promise<void> => {
    try {
      await objects.restore(storedObjects(store, log));
    } catch (error) {
      log.error("devices cannot be restored, trying again", { error: describeError(error) });
      timer = clock.after(restoreAgainMs, () => void attempt());
    }
  };
  await attempt();
  return { [Symbol.dispose]: () => timer?.[Symbol.dispose]() };
}

function makeEvents({ node }: DeviceTwinConfig, { port, store, clock, log }: DeviceTwinParts): DeviceEvents {
  const { backlog, losses } = store;
  return new DeviceEvents({
    node,
    clock,
    emit: (event) => port.emit("event.recorded", { event }),
    losses: () => ({ ...backlog.losses(), limitBytes: backlog.limitBytes }),
    told: () => losses.told(),
    setTold: (loss) => {
      try {
        losses.setTold(loss, clock.nowMs());
      } catch (error) {
        log.warn("cannot keep what was told of lost messages", { error: describeError(error) });
      }
    },
  });
}

const done = Promise.resolve();

interface Receivers {
  readonly registry: DeviceRegistry;
  readonly handlers: DeviceRequests;
  readonly values: DeviceValues;
  readonly objects: DeviceObjects;
  readonly commit: GroupCommit;
  readonly discovery: HomeAssistantDiscovery;
}

/** Hears and answers the other modules. */
function serve(config: DeviceTwinConfig, parts: DeviceTwinParts, receivers: Receivers): Disposable {
  const { port, store } = parts;
  const { registry, objects, discovery } = receivers;
  const stack = new DisposableStack();
  stack.use(port.answer("mqtt.received", (message) => receive(receivers, message)));
  stack.use(port.answer("mqtt.filters", async () => [...objects.filters, ...discovery.filters]));
  stack.use(
    port.answer("twin.deliver", async (delivery) => {
      if (delivery.kind === "history")
        return {
          ack: true,
          answer: answerHistory({ registry, store }, delivery.device, delivery.question),
        };
      await objects.deliver(delivery);
      return { ack: false };
    }),
  );
  stack.use(
    port.answer("device.changed", async (change) => {
      await objects.change(change);
      return undefined;
    }),
  );
  stack.use(
    port.on("link.changed", ({ connected }) => {
      // Not awaited: the answer comes over the link whose change is being told.
      if (connected) void askDetail(config.node, parts, objects);
    }),
  );
  return stack;
}

async function receive(
  { handlers, values, objects, commit, discovery }: Receivers,
  message: MqttMessage,
): Promise<undefined> {
  const waits = [handlers.handle(message) ?? discovery.hear(message) ?? done];
  for (const device of objects.readers.match(message.topic))
    waits.push(takeReport(values, device, message) ?? done);
  if (isForCloud(message)) {
    commit.upload(message.topic, Buffer.from(message.payload).toString("utf8"));
    waits.push(commit.settled());
  }
  await Promise.all(waits);
  return undefined;
}

function takeReport(
  values: DeviceValues,
  device: BoundDevice,
  message: MqttMessage,
): Promise<void> | undefined {
  const { topic, payload } = message;
  return device.mapping && values.take(device, readReport(device.mapping, topic, payload));
}

function isForCloud({ topic, upload }: MqttMessage): boolean {
  return upload === true || uploadFilters.some((filter) => topicMatches(filter, topic)) || isUserTopic(topic);
}

/** `<anything>/user/…` is for the rules in the cloud. */
function isUserTopic(topic: string): boolean {
  return /^[^$/][^/]*\/user\//.test(topic);
}

async function askDetail(
  node: string,
  { port, log }: DeviceTwinParts,
  objects: DeviceObjects,
): Promise<void> {
  try {
    const answer = await port.ask("cloud.members", { node, timeoutMs: 10_000 });
    if (answer && answer.kind !== "history") await objects.deliver(answer);
  } catch (error) {
    log.debug("cloud did not tell the membership", { error: describeError(error) });
  }
}

type Stored = { type: string; namespace: string; name: string; object: Device | DeviceModel };

function* storedObjects(store: Store, log: Logger): Generator<Stored> {
  for (const type of ["devicemodel", "device"]) {
    for (const { key, value } of store.metas.listByType(type)) {
      const path = store.metas.nameOf(key);
      const object = contentFields(value);
      if (path && object?.["metadata"]) yield { type, ...pick(path), object: object as unknown as Device };
      else log.warn("stored device object cannot be read", { key });
    }
  }
}

function pick({ namespace, name }: { namespace: string; name: string }): { namespace: string; name: string } {
  return { namespace, name };
}

function trimHistory(parts: DeviceTwinParts, limits: HistoryLimits): void {
  const { store, clock, log } = parts;
  try {
    if (store.telemetry.trim(clock.nowMs(), limits)) clock.after(50, () => trimHistory(parts, limits));
  } catch (error) {
    log.error("cannot trim the history of devices, trying again", { error: describeError(error) });
  }
}

/** Runs `run` once after the calls of one turn of the event loop. */
function coalesce(run: () => void): () => void {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    setImmediate(() => {
      waiting = false;
      run();
    });
  };
}
