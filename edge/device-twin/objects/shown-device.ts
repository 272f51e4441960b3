import { rfc3339 } from "#shared/clock";
import type { Device, DeviceStatus, DeviceTwinStatus, TwinValue } from "#shared/kube";
import type { BoundDevice } from "#edge/device-twin/devices";
import { liveTwin, type Twin, type TwinSide } from "#edge/device-twin/twins";

/** A device was there in these states, as the cloud's devicecontroller has it. */
const onlineStates = new Set(["online", "ok"]);

/** A Device with the status that the cloud will write once it has the reports of this node. */
export function withOwnStatus(object: Device, device: BoundDevice): Device {
  const before = object.status ?? {};
  const twins = twinsOf(object, device);
  const { state, lastOnline } = device;
  const stateMs = Date.parse(lastOnline.replace(" ", "T"));
  const isOnline = onlineStates.has(state) && Number.isFinite(stateMs);
  const reportedTime = latest([
    before.reportedTime,
    ...(Number.isFinite(stateMs) ? [rfc3339(stateMs)] : []),
    ...[...device.twins.values()].flatMap(({ actual }) => timesOf(actual)),
  ]);
  const status: DeviceStatus = {
    ...before,
    ...(twins.length > 0 || before.twins ? { twins } : {}),
    ...(state === "" ? {} : { state }),
    ...(isOnline ? { lastOnlineTime: rfc3339(stateMs) } : {}),
    ...(reportedTime === undefined ? {} : { reportedTime }),
  };
  return Object.keys(status).length === 0 ? object : { ...object, status };
}

/** Twins of what the Device or its model lists, in that order. */
function twinsOf({ spec }: Device, { twins, listed }: BoundDevice): DeviceTwinStatus[] {
  const names = [...(spec?.properties ?? []).map(({ name }) => name), ...(listed?.modelTypes.keys() ?? [])];
  return [...new Set(names)].flatMap((propertyName) => {
    const twin = liveTwin(twins.get(propertyName));
    const reported = twin && valueOf(twin.actual, twin);
    const observedDesired = twin && valueOf(twin.expected, twin);
    if (!reported && !observedDesired) return [];
    return [{ propertyName, ...(reported && { reported }), ...(observedDesired && { observedDesired }) }];
  });
}

function valueOf(side: TwinSide | undefined, { type }: Twin): TwinValue | undefined {
  if (!side) return undefined;
  const { value, timestamp } = side;
  return { value, metadata: { ...(timestamp !== undefined && { timestamp: String(timestamp) }), type } };
}

function timesOf(side: TwinSide | undefined): string[] {
  return side?.timestamp === undefined ? [] : [rfc3339(side.timestamp)];
}

/** As texts they sort by time. */
function latest(times: readonly (string | undefined)[]): string | undefined {
  return times
    .filter((time) => time !== undefined)
    .toSorted()
    .at(-1);
}
