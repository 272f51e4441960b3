import { onNextTurn } from "#shared/clock";
import type { RejectedValue } from "#shared/devices";
import type { RateLimitedLog } from "#shared/log";
import type { BoundDevice, DeviceRegistry } from "#edge/device-twin/devices";
import { HomeAssistantDiscovery } from "#edge/device-twin/discovery";
import type { AnnouncementEvents, DeviceWarnings } from "#edge/device-twin/events";
import { AttributeUpdates, Members, Membership } from "#edge/device-twin/membership";
import { DeviceModels, DeviceObjects, PropertyMapper } from "#edge/device-twin/objects";
import type { GroupCommit } from "#edge/device-twin/outbox";
import { DeviceRequests } from "#edge/device-twin/requests";
import { CloudTwins, DeviceValues, PlainDevices, TwinWriter } from "#edge/device-twin/values";
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
  { port, clock, log }: DeviceTwinParts,
  { registry, warnings, announcements, commit, limitedLog }: ReceiverBasis,
): Receivers {
  const { node } = config;
  const onRejected = ({ id, object }: BoundDevice, rejected: readonly RejectedValue[]): void => {
    limitedLog.warn("values of a device not taken", { device: id, problems: rejected });
    if (object) warnings.valuesRejected(object, rejected);
  };
  const onUnknown = (name: string): void =>
    limitedLog.warn("message for a device that this node does not have", { device: name.slice(0, 256) });
  const onFilters = coalesce(
    () => void port.emit("mqtt.watch", { filters: [...plain.filters, ...discovery.filters] }),
  );

  const writer = new TwinWriter({ commit, clock });
  const values = new DeviceValues({ commit, writer, clock, onRejected });
  const plain = new PlainDevices({ commit, values, onFilters });
  const discovery = new HomeAssistantDiscovery({
    node,
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
    node,
    onRejected,
    onUnknown,
  });
  const members = new Members({ commit, plain, clock, node });
  const attributes = new AttributeUpdates({ registry, commit, clock });
  const membership = new Membership({ registry, commit, clock, members, attributes, cloudTwins });
  const models = new DeviceModels();
  const mapper = new PropertyMapper({ commit, models, plain, warnings, log });
  const objects = new DeviceObjects({ registry, commit, writer, members, models, mapper, warnings, clock });
  return { registry, commit, requests, plain, discovery, cloudTwins, membership, attributes, objects };
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
