import { onNextTurn } from "#shared/clock";
import type { RejectedValue } from "#shared/devices";
import type { RateLimitedLog } from "#shared/log";
import type { BoundDevice, DeviceRegistry } from "#edge/device-twin/devices";
import { HomeAssistantDiscovery } from "#edge/device-twin/discovery";
import type { AnnouncementEvents, DeviceWarnings } from "#edge/device-twin/events";
import { AttributeUpdates, Members, Membership } from "#edge/device-twin/devices/membership";
import {
  DeviceModels,
  DeviceObjects,
  LocalChanges,
  LocalValues,
  LocalValueSync,
  OldCommands,
  PropertyMapper,
} from "#edge/device-twin/objects";
import type { GroupCommit } from "#edge/device-twin/outbox";
import { DeviceRequests } from "#edge/device-twin/requests";
import {
  CloudTwins,
  DeviceValues,
  DrivenDevices,
  PlainDevices,
  ReportCycles,
  TwinWriter,
} from "#edge/device-twin/values";
import type { DeviceTwinParts, Receivers } from "./bus.ts";

export interface ReceiverBasis {
  readonly registry: DeviceRegistry;
  readonly warnings: DeviceWarnings;
  readonly announcements: AnnouncementEvents;
  readonly commit: GroupCommit;
  /** Logs what clients can cause as often as they like. */
  readonly limitedLog: RateLimitedLog;
}

/** Makes the receivers, which share one commit and one writer of twins. */
export function makeReceivers(
  config: { readonly node: string; readonly discoveryPrefix?: string | undefined },
  parts: DeviceTwinParts,
  { registry, warnings, announcements, commit, limitedLog }: ReceiverBasis,
): Receivers {
  const { port, clock, log } = parts;
  const onRejected = ({ id, object }: BoundDevice, rejected: readonly RejectedValue[]): void => {
    limitedLog.warn("values of a device not taken", { device: id, problems: rejected });
    if (object) warnings.valuesRejected(object, rejected);
  };
  const onUnknown = (name: string): void =>
    limitedLog.warn("message for a device that this node does not have", { device: name.slice(0, 256) });
  const onFilters = coalesce(
    () => void port.emit("mqtt.watch", { filters: [...plain.filters, ...discovery.filters] }),
  );

  const cycles = new ReportCycles({ commit, registry, clock });
  const writer = makeWriter(parts, { commit, cycles });
  const values = new DeviceValues({ commit, writer, clock, onRejected });
  const plain = new PlainDevices({ commit, values, clock, onFilters });
  const discovery = new HomeAssistantDiscovery({
    node: config.node,
    prefix: config.discoveryPrefix,
    commit,
    announcements,
    log,
  });
  const cloudTwins = new CloudTwins({ registry, commit, writer, clock });
  const requests = new DeviceRequests({
    registry,
    commit,
    writer,
    cloudTwins,
    clock,
    node: config.node,
    onRejected,
    onUnknown,
  });
  const members = new Members({ commit, plain, clock, node: config.node });
  const attributes = new AttributeUpdates({ registry, commit, clock });
  const membership = new Membership({ registry, commit, clock, members, attributes, cloudTwins });
  return {
    registry,
    commit,
    requests,
    plain,
    driven: new DrivenDevices({ registry, values }),
    discovery,
    cloudTwins,
    membership,
    attributes,
    cycles,
    oldCommands: new OldCommands({ store: parts.store, registry, commit }),
    ...makeObjects(parts, { registry, warnings, commit, writer, plain, members, cycles }),
  };
}

function makeWriter(
  { port, clock }: DeviceTwinParts,
  { commit, cycles }: { readonly commit: GroupCommit; readonly cycles: ReportCycles },
): TwinWriter {
  return new TwinWriter({
    commit,
    clock,
    cycles,
    onReported: ({ object }, reported) => {
      if (object)
        void port.emit("device.reported", { namespace: object.namespace, name: object.name, ...reported });
    },
  });
}

type ObjectBasis = Pick<ReceiverBasis, "registry" | "warnings" | "commit"> &
  Pick<Receivers, "plain"> & {
    readonly writer: TwinWriter;
    readonly members: Members;
    readonly cycles: ReportCycles;
  };

/** What follows from Devices and their models, and from desired values that are set on this node. */
function makeObjects(
  parts: DeviceTwinParts,
  { plain, ...basis }: ObjectBasis,
): Pick<Receivers, "objects" | "local" | "changes" | "sync"> {
  const { store, clock, log } = parts;
  const { commit, warnings } = basis;
  const models = new DeviceModels();
  const mapper = new PropertyMapper({ commit, models, plain, warnings, log });
  const local = new LocalValues({ store, commit, clock });
  const objects = new DeviceObjects({ ...basis, models, mapper, local, clock });
  return { objects, local, ...makeLocalChanges(parts, { objects, local, commit, warnings }) };
}

/** Desired values that are set on this node, and what brings them to the cloud. */
function makeLocalChanges(
  { port, store, clock, log }: DeviceTwinParts,
  made: Pick<Receivers, "objects" | "local" | "commit"> & Pick<ReceiverBasis, "warnings">,
): Pick<Receivers, "changes" | "sync"> {
  const changes = new LocalChanges({
    ...made,
    store,
    stored: (object) => port.emit("object.stored", object),
    wake: () => sync.wake(),
  });
  const sync: LocalValueSync = new LocalValueSync({
    local: made.local,
    ask: (request, options) => port.ask("cloud.desired", request, options),
    settle: (...decided) => changes.settle(...decided),
    drop: (...refused) => changes.drop(...refused),
    clock,
    log,
  });
  return { changes, sync };
}

/**
 * Runs `run` once after all calls within one turn of the event loop: thousands of devices restored at start make one
 * list of filters.
 */
function coalesce(run: () => void): () => void {
  let isScheduled = false;
  return () => {
    if (isScheduled) return;
    isScheduled = true;
    onNextTurn(() => {
      isScheduled = false;
      run();
    });
  };
}
