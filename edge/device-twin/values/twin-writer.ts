import { randomUUID } from "node:crypto";
import type { Clock } from "#shared/clock";
import { deviceTopic } from "#shared/mqtt";
import { encodeDeviceState } from "#edge/edge-hub/codec";
import { liveTwins, topicNames, type BoundDevice } from "#edge/device-twin/devices";
import {
  deviceMessage,
  type DeviceMessage,
  type Durability,
  type GroupCommit,
} from "#edge/device-twin/outbox";
import {
  deletedType,
  differs,
  documentOf,
  isNewValueOnly,
  sorted,
  toCloud,
  type TwinChange,
  type WireTwin,
} from "#edge/device-twin/twins";
import type { ReportCycles } from "./report-cycles.ts";

export interface TwinWriterParts {
  readonly commit: GroupCommit;
  readonly clock: Pick<Clock, "nowMs">;
  readonly cycles: Pick<ReportCycles, "holds">;
  /** Called after the commit with reported values, and with the state when that is what changed. */
  readonly onReported?: ((device: BoundDevice, reported: Reported) => void) | undefined;
}

/** What a device reported. */
export interface Reported {
  readonly values: readonly { readonly name: string; readonly value: string }[];
  readonly state: string | undefined;
}

/**
 * What every change of a twin or state leads to: it is stored, kept in the history, reported to the cloud and
 * published.
 */
export class TwinWriter {
  readonly #parts: TwinWriterParts;

  constructor(parts: TwinWriterParts) {
    this.#parts = parts;
  }

  /**
   * Adds changed twins to the commit: their rows, a point of history for each new value and a report to the cloud.
   * @param wanted changes of anything but reported values are durable in any case
   */
  write(device: BoundDevice, changes: readonly TwinChange[], wanted: Durability = "durable"): void {
    if (changes.length === 0) return;
    const { commit, clock, cycles } = this.#parts;
    const nowMs = clock.nowMs();
    const durability = wanted === "buffered" && changes.every(isNewValueOnly) ? wanted : "durable";
    for (const { name, before, after } of changes) {
      const { actual } = after;
      if (durability === "buffered") commit.setValue(device, name, after);
      else commit.setTwin(device, name, after);
      if (durability === "durable" && actual && actual !== before?.actual && after.type !== deletedType)
        commit.addPoint(device, name, { at: nowMs, value: actual.value });
    }
    const reported = changes.filter((change) => !cycles.holds(device, change));
    const twins = reported.map(({ name, after }): [string, WireTwin] => [name, toCloud(after)]);
    commit.reportTwins(device, nowMs, twins, durability);
    this.#tellReported(device, { values: newValues(changes), state: undefined });
  }

  #tellReported(device: BoundDevice, reported: Reported): void {
    const { commit, onReported } = this.#parts;
    if (reported.values.length === 0 && reported.state === undefined) return;
    // The sender is notified of a failure; nothing follows from a value that is not stored.
    if (onReported)
      void commit.settled().then(
        () => onReported(device, reported),
        () => undefined,
      );
  }

  /**
   * The messages of a change, to be published after the commit: `twin/update/document` with what changed and, while a
   * desired value is not reported, `twin/update/delta` with all of those; as KubeEdge (`dtmanager/twin.go`).
   * @param eventId of the update that made the change; empty for changes that no client asked for
   */
  messages(device: BoundDevice, changes: readonly TwinChange[], eventId = ""): DeviceMessage[] {
    if (changes.length === 0) return [];
    const twin = documentOf(changes);
    const missing = sorted(device.twins).filter(([, one]) => differs(one));
    const delta = Object.fromEntries(missing.map(([name, { expected }]) => [name, expected?.value ?? ""]));
    const nowMs = this.#parts.clock.nowMs();
    const [twins, deltaId] = [liveTwins(device), randomUUID()];
    return topicNames(device).flatMap((name) => {
      const document = deviceMessage(deviceTopic(name, "twin/update/document"), { eventId, nowMs }, { twin });
      if (missing.length === 0) return [document];
      const stamp = { eventId: deltaId, nowMs };
      return [document, deviceMessage(deviceTopic(name, "twin/update/delta"), stamp, { twin: twins, delta })];
    });
  }

  /**
   * Adds a state to the commit and to the reports to the cloud.
   * @param lastOnline by default now: the device has just reported its state
   * @returns the messages to publish after the commit
   */
  writeState(device: BoundDevice, state: string, lastOnline?: string): DeviceMessage[] {
    const { commit, clock } = this.#parts;
    const nowMs = clock.nowMs();
    commit.setState(device, state, lastOnline ?? localTime(nowMs));
    const payload = reportState(commit, device, nowMs);
    this.#tellReported(device, { values: [], state });
    return topicNames(device).map((name) => ({ topic: deviceTopic(name, "state/update/result"), payload }));
  }
}

/** Reports the state of a device to the cloud, which expects the content as a text. @returns the payload to publish */
export function reportState(commit: GroupCommit, device: BoundDevice, nowMs: number): string {
  const { id, name, state, lastOnline, object } = device;
  const payload = {
    event_id: randomUUID(),
    timestamp: nowMs,
    device: { name, state, last_online: lastOnline },
  };
  const content = JSON.stringify({
    ...payload,
    ...(object?.uid === undefined ? {} : { device_uid: object.uid }),
  });
  commit.report((stamp) => encodeDeviceState(stamp, id, content), `state/${id}`);
  return JSON.stringify(payload);
}

/** "2024-06-10 10:00:00" in the time zone of the node, as KubeEdge writes it. */
function localTime(ms: number): string {
  const date = new Date(ms);
  const two = (part: number): string => String(part).padStart(2, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** What was reported, also if it is the value before. */
function newValues(changes: readonly TwinChange[]): Reported["values"] {
  return changes.flatMap(({ name, before, after }) =>
    after.actual && after.actual !== before?.actual && after.type !== deletedType
      ? [{ name, value: after.actual.value }]
      : [],
  );
}
