import type { TwinConfig } from "#shared/config";
import { stampOf } from "#edge/edge-hub/codec";
import { describeError } from "#shared/errors";
import { DeviceEventRecorder } from "#shared/events";
import type { Device, Event } from "#shared/kube";
import { running, type Running } from "#shared/lifecycle";
import { RateLimitedLog } from "#shared/log";
import type { HistoryLimits } from "#edge/store";
import { DeviceRegistry } from "#edge/device-twin/devices";
import { AnnouncementEvents, DeviceWarnings, LossEvents } from "#edge/device-twin/events";
import { restoreObjects, withOwnStatus } from "#edge/device-twin/objects";
import { GroupCommit, OutboxBudget, ValueBuffer } from "#edge/device-twin/outbox";
import { serveQueries, trimHistory } from "#edge/device-twin/query";
import { serveBus, type DeviceTwinParts, type Receivers } from "./bus.ts";
import { makeReceivers } from "./receivers.ts";

export type { DeviceTwinParts, DeviceTwinPort } from "./bus.ts";

export interface DeviceTwinConfig {
  readonly node: string;
  readonly history: HistoryLimits;
  /** What a loss of power may take of reported values of QoS 0, milliseconds. 0 or undefined: they are stored before they are answered. */
  readonly flushMs?: number | undefined;
  /** Bytes on disk for messages that wait for the link; beyond it the oldest reports are folded. */
  readonly outboxLimitBytes: number;
  /** Address of the HTTP server for values and history; undefined: none. */
  readonly query: TwinConfig["query"];
  /** Home Assistant's discovery prefix ("homeassistant"): devices found there are offered to the cloud. */
  readonly discoveryPrefix?: string | undefined;
}

export interface DeviceTwin extends Running {
  /** Port of the query server, when there is one. */
  readonly queryPort: number | undefined;
  /** A Device as this node has it: with the desired values that were set here, and with what its devices report. */
  readonly show: (device: Device) => Device;
  /** Settles when the outbox is not being folded. */
  readonly roomMade: () => Promise<void>;
}

/** A week, bounded for a property that changes often and for nodes with many devices. */
export const defaultHistory: HistoryLimits = {
  maxAgeMs: 7 * 24 * 3600 * 1000,
  maxPerProperty: 1000,
  maxPoints: 1_000_000,
};

/**
 * The devices of this node: their twins, states and history, kept in the store and in sync with the cloud. A device
 * gets no answer before its change is on disk; requests that arrive together share a commit.
 * @throws ConfigError when the address of the query server is taken or its token cannot be read
 */
export async function startDeviceTwin(config: DeviceTwinConfig, parts: DeviceTwinParts): Promise<DeviceTwin> {
  const { port, store, clock, log } = parts;
  await using stack = new AsyncDisposableStack();
  const registry = new DeviceRegistry();
  registry.load(store);
  const limitedLog = new RateLimitedLog(log, clock);
  const emit = (event: Event): Promise<void> => port.emit("event.recorded", { event });
  const recorder = new DeviceEventRecorder({ node: config.node, clock, emit });
  const warnings = stack.use(new DeviceWarnings(recorder, clock));
  const losses = stack.use(makeLossEvents(recorder, parts));
  const announcements = stack.use(new AnnouncementEvents(recorder, clock));
  const budget = stack.use(new OutboxBudget(config.outboxLimitBytes, parts, (loss) => losses.add(loss)));
  const buffer = stack.use(makeBuffer(config, parts, registry));
  buffer.recover();
  const commit = makeCommit(config, parts, { registry, losses, budget, limitedLog, buffer });
  stack.defer(() => commit.drained());
  const receivers = makeReceivers(config, parts, { registry, warnings, announcements, commit, limitedLog });
  stack.use(receivers.cycles);
  stack.use(receivers.sync);
  stack.use(receivers.plain);
  stack.use(await restoreObjects(receivers.objects, { store, clock, log }));
  buffer.storeRecovered((device, twins) => commit.reportTwins(device, clock.nowMs(), twins));
  stack.use(serveBus(config.node, parts, receivers));
  stack.use(trimHistory(config.history, parts));
  const query = config.query
    ? stack.use(serveQueries(config.query, { registry, store, clock, log, figures: parts.figures }))
    : undefined;
  log.info("device twin started", { devices: registry.size });
  const owned = stack.move();
  return Object.assign(running("devicetwin", owned), {
    queryPort: query?.port,
    show: (object: Device) => shownDevice(object, receivers),
    roomMade: () => budget.roomMade(),
  });
}

function shownDevice(object: Device, { registry, local }: Receivers): Device {
  const { namespace = "", name = "", uid } = object.metadata;
  const device = registry.ofObject(namespace, name);
  const desired = local.over(object);
  return device && device.object?.uid === uid ? withOwnStatus(desired, device) : desired;
}

interface CommitParts {
  readonly registry: DeviceRegistry;
  readonly losses: LossEvents;
  readonly budget: OutboxBudget;
  readonly limitedLog: RateLimitedLog;
  readonly buffer: ValueBuffer;
}

function makeBuffer(
  { flushMs = 0, history }: DeviceTwinConfig,
  { store, clock, log }: DeviceTwinParts,
  registry: DeviceRegistry,
): ValueBuffer {
  return new ValueBuffer({
    store,
    registry,
    clock,
    log,
    flushMs,
    historyPerProperty: history.maxPerProperty,
  });
}

function makeCommit(
  { history }: DeviceTwinConfig,
  { port, store, clock }: DeviceTwinParts,
  { registry, losses, budget, limitedLog, buffer }: CommitParts,
): GroupCommit {
  return new GroupCommit({
    store,
    registry,
    stamp: stampOf(clock),
    buffer,
    log: limitedLog,
    historyPerProperty: history.maxPerProperty,
    publish: ({ topic, payload, isBytes, retain }) =>
      void port.emit("mqtt.publish", {
        topic,
        payload: Buffer.from(payload, isBytes ? "base64" : "utf8"),
        ...(retain ? { retain } : {}),
      }),
    onTooLarge: () => losses.add({ folded: 0, droppedReports: 0, droppedUploads: 1 }),
    onChanged: (changed) => {
      const devices = [...changed].flatMap(({ object }) => object ?? []);
      if (devices.length > 0) void port.emit("devices.changed", { devices });
    },
    onQueued: (bytes) => {
      void port.emit("outbox.added", {});
      budget.queued(bytes);
    },
  });
}

function makeLossEvents(recorder: DeviceEventRecorder, { store, clock, log }: DeviceTwinParts): LossEvents {
  const { backlog, losses } = store;
  return new LossEvents({
    recorder,
    clock,
    losses: () => ({ ...backlog.losses(), limitBytes: backlog.limitBytes }),
    reported: () => losses.reported(),
    setReported: (loss) => {
      try {
        losses.setReported(loss, clock.nowMs());
      } catch (error) {
        log.warn("cannot store which losses were reported", { error: describeError(error) });
      }
    },
  });
}
