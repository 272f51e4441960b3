import { randomUUID } from "node:crypto";
import type { Port } from "#shared/bus";
import type { Clock } from "#shared/clock";
import { describeError } from "#shared/errors";
import type { Device, DeviceModel } from "#shared/kube";
import { running, type Running } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import {
  deviceOfHistory,
  operations,
  parseResource,
  topicMatches,
  type EdgeCatalog,
  type MqttMessage,
} from "#shared/message";
import type { HistoryLimits, Store } from "#edge/store";
import { Batch } from "./batch.ts";
import { discoveryFilters, objectsOf, readDiscovery, type Discovered } from "./discovery.ts";
import { Events } from "./events.ts";
import { Handlers } from "./handlers.ts";
import { contentFields, Objects } from "./objects.ts";
import { Budget } from "./outbox-budget.ts";
import { answerHistory, serveQueries } from "./query.ts";
import { Registry } from "./registry.ts";

export interface DeviceTwinConfig {
  readonly node: string;
  readonly history: HistoryLimits;
  /** Disk for messages that wait for the link; past it the oldest reports are folded. */
  readonly outboxLimitBytes: number;
  /** Where the present and past values can be asked for over HTTP; undefined: nowhere. */
  readonly query: { readonly address: string; readonly port: number } | undefined;
  /** Home Assistant's discovery prefix ("homeassistant"): devices found there are offered to the cloud. */
  readonly discoveryPrefix?: string | undefined;
}

export type DeviceTwinPort = Port<
  EdgeCatalog,
  "mqtt.publish" | "mqtt.watch" | "outbox.added" | "event.recorded",
  "cloud.request",
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

/**
 * The devices of this node: their twins, states and history, kept in the store and in step with the cloud. Nothing is
 * answered to a device before it is on disk; requests that arrive together share a commit.
 */
export async function startDeviceTwin(config: DeviceTwinConfig, parts: DeviceTwinParts): Promise<DeviceTwin> {
  const { port, store, clock, log } = parts;
  await using stack = new AsyncDisposableStack();
  const stamp = { id: () => randomUUID(), nowMs: () => clock.nowMs() };
  const registry = new Registry();
  registry.load(store);
  const events = stack.use(makeEvents(config, parts));
  const budget = stack.use(new Budget(config.outboxLimitBytes, parts, (loss) => events.lost(loss)));
  const batch = new Batch({
    store,
    registry,
    stamp,
    log,
    historyPerProperty: config.history.maxPerProperty,
    publish: ({ topic, payload, retain }) =>
      void port.emit("mqtt.publish", { topic, payload: Buffer.from(payload), ...(retain ? { retain } : {}) }),
    onQueued: (bytes) => {
      void port.emit("outbox.added", {});
      budget.queued(bytes);
    },
  });
  stack.defer(() => batch.settled());
  const discovery = new Discovery(config, batch, { events, log });
  const filters = coalesce(
    () => void port.emit("mqtt.watch", { filters: [...objects.filters, ...discovery.filters] }),
  );
  const objects = new Objects({ registry, batch, clock, node: config.node, events, log, onFilters: filters });
  const handlers = new Handlers({
    registry,
    batch,
    clock,
    node: config.node,
    onCloudUpdated: (device, payload) =>
      objects.sync(device, contentFields(Buffer.from(payload).toString("utf8")) ?? {}),
    onMisfit: ({ object }, misfits) => {
      if (object) events.misfits(object, misfits);
    },
  });
  objects.use(handlers);
  objects.restore(storedObjects(store, log));
  await batch.settled();
  stack.use(serve(config, parts, { registry, handlers, objects, batch, discovery }));
  stack.use(clock.every(trimEveryMs, () => trimHistory(store, clock, config.history)));
  const query = config.query ? stack.use(serveQueries(config.query, { registry, store, log })) : undefined;
  log.info("device twin started", { devices: registry.size });
  const owned = stack.move();
  return Object.assign(running("devicetwin", owned), {
    queryPort: query?.port,
    roomMade: () => budget.roomMade(),
  });
}

function makeEvents({ node }: DeviceTwinConfig, { port, store, clock, log }: DeviceTwinParts): Events {
  const { backlog, losses } = store;
  return new Events({
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
  readonly registry: Registry;
  readonly handlers: Handlers;
  readonly objects: Objects;
  readonly batch: Batch;
  readonly discovery: Discovery;
}

/** Hears and answers the other modules. */
function serve(config: DeviceTwinConfig, parts: DeviceTwinParts, receivers: Receivers): Disposable {
  const { port, store } = parts;
  const { registry, objects, discovery } = receivers;
  const stack = new DisposableStack();
  stack.use(port.answer("mqtt.received", (message) => receive(receivers, message)));
  stack.use(port.answer("mqtt.filters", async () => [...objects.filters, ...discovery.filters]));
  stack.use(
    port.answer("twin.deliver", async (message) => {
      const { operation, resource = "" } = message.route;
      const asked = operation === operations.query ? deviceOfHistory(resource) : undefined;
      if (asked !== undefined)
        return { ack: true, answer: answerHistory({ registry, store }, asked, message.content) };
      await objects.deliver(message);
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
  { handlers, objects, batch, discovery }: Receivers,
  message: MqttMessage,
): Promise<undefined> {
  const waits = [handlers.handle(message) ?? discovery.hear(message) ?? done];
  for (const device of objects.readers.match(message.topic))
    waits.push(handlers.report(device, message) ?? done);
  if (uploadFilters.some((filter) => topicMatches(filter, message.topic)) || isUserTopic(message.topic)) {
    batch.upload(message.topic, Buffer.from(message.payload).toString("utf8"));
    waits.push(batch.settled());
  }
  await Promise.all(waits);
  return undefined;
}

/** `<anything>/user/…` is for the rules in the cloud. */
function isUserTopic(topic: string): boolean {
  return /^[^$/][^/]*\/user\//.test(topic);
}

async function askDetail(
  node: string,
  { port, clock, log }: DeviceTwinParts,
  objects: Objects,
): Promise<void> {
  const content = JSON.stringify({
    event_type: "group_membership_event",
    event_id: randomUUID(),
    group_id: node,
    operation: "detail",
    timestamp: clock.nowMs(),
  });
  try {
    const answer = await port.ask("cloud.request", {
      source: "twin",
      group: "resource",
      operation: "get",
      resource: "membership/detail",
      content,
      timeoutMs: 10_000,
    });
    await objects.deliver(answer);
  } catch (error) {
    log.debug("cloud did not tell the membership", { error: describeError(error) });
  }
}

type Stored = { type: string; namespace: string; name: string; object: Device | DeviceModel };

function* storedObjects(store: Store, log: Logger): Generator<Stored> {
  for (const type of ["devicemodel", "device"]) {
    for (const { key, value } of store.metas.listByType(type)) {
      const path = parseResource(key);
      const object = contentFields(value);
      if (path && object?.["metadata"]) yield { type, ...pick(path), object: object as unknown as Device };
      else log.warn("stored device object cannot be read", { key });
    }
  }
}

function pick({ namespace, name }: { namespace: string; name: string }): { namespace: string; name: string } {
  return { namespace, name };
}

function trimHistory(store: Store, clock: Clock, limits: HistoryLimits): void {
  if (store.telemetry.trim(clock.nowMs(), limits)) clock.after(50, () => trimHistory(store, clock, limits));
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

/** At most so much is offered: whoever may publish below the prefix must not fill the outbox or the cloud. */
const mostDiscovered = 1000;
const mostPropertiesFound = 100;

/** Collects what Home Assistant's discovery says of each device and offers the whole to the cloud when it changed. */
class Discovery {
  readonly filters: readonly string[];
  readonly #config: DeviceTwinConfig;
  readonly #batch: Batch;
  readonly #parts: { readonly events: Pick<Events, "announcement">; readonly log: Logger };
  readonly #found = new Map<string, Map<string, Discovered>>();
  /** What each topic announced, to forget it when it is taken back. */
  readonly #byTopic = new Map<string, Discovered>();

  constructor(
    config: DeviceTwinConfig,
    batch: Batch,
    parts: { readonly events: Pick<Events, "announcement">; readonly log: Logger },
  ) {
    this.#config = config;
    this.#batch = batch;
    this.#parts = parts;
    this.filters = config.discoveryPrefix ? discoveryFilters(config.discoveryPrefix) : [];
  }

  hear({ topic, payload }: MqttMessage): Promise<void> | undefined {
    const { discoveryPrefix } = this.#config;
    const said = discoveryPrefix ? readDiscovery(discoveryPrefix, topic, payload) : undefined;
    if (!said) return undefined;
    if (said.kind === "property") return this.#add(topic, said.found, said.problem);
    const before = this.#forget(topic);
    if (said.kind === "left-out") this.#complain(topic, said.problem);
    else this.#parts.events.announcement(topic, undefined);
    if (before && said.kind === "withdrawn")
      this.#parts.log.info("an announcement was taken back, its Device keeps the property", {
        topic,
        device: before.device,
        property: before.property.name,
      });
    return undefined;
  }

  #add(topic: string, one: Discovered, problem: string | undefined): Promise<void> | undefined {
    const known = this.#found.get(one.device) ?? new Map<string, Discovered>();
    if (known.size === 0 && this.#found.size >= mostDiscovered)
      return this.#complain(topic, `more than ${mostDiscovered} devices`);
    if (!known.has(one.property.name) && known.size >= mostPropertiesFound)
      return this.#complain(topic, `more than ${mostPropertiesFound} properties of one device`);
    this.#complain(topic, problem);
    this.#byTopic.set(topic, one);
    if (JSON.stringify(known.get(one.property.name)) === JSON.stringify(one)) return undefined;
    this.#found.set(one.device, known.set(one.property.name, one));
    const offer = objectsOf([...known.values()], this.#config.node);
    this.#batch.tellCloud(`device/${one.device}/discovered`, offer, {
      operation: "insert",
      key: `discovered/${one.device}`,
    });
    return this.#batch.settled();
  }

  #complain(topic: string, problem: string | undefined): undefined {
    if (this.#parts.events.announcement(topic, problem))
      this.#parts.log.warn("cannot take an announcement as it is", { topic, problem });
    return undefined;
  }

  #forget(topic: string): Discovered | undefined {
    const one = this.#byTopic.get(topic);
    this.#byTopic.delete(topic);
    const known = one && this.#found.get(one.device);
    known?.delete(one?.property.name ?? "");
    if (one && known?.size === 0) this.#found.delete(one.device);
    return one;
  }
}
