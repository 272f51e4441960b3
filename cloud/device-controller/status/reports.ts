import { rfc3339 } from "#shared/clock";
import type { Device, DeviceModel, DeviceStatus, DeviceTwinStatus } from "#shared/kube";
import type { DeviceStatusReport, ReportedTwin } from "#shared/topics";

/** What a node reported of a device and is not in the API yet; later reports replace earlier ones, value by value. */
export interface PendingReport {
  /** null: the twin was deleted */
  readonly twins: ReadonlyMap<string, ReportedTwin | null>;
  /**
   * Of the Device object the node knew, where the node sends it: another object of that name is not meant. Our nodes send it,
   * and then a desired value that is absent was withdrawn; a reported value that is absent is only not known yet.
   */
  readonly deviceUid?: string | undefined;
  /** null: unknown */
  readonly state?: string | null | undefined;
  /** Of the node's clock, milliseconds since 1970. */
  readonly lastOnlineMs?: number | undefined;
  /** When the node made the report, by its clock; absent where it does not send that. */
  readonly madeMs?: number | undefined;
}

/** Only brings the status in line with Device and model. */
export const nothingNew: PendingReport = { twins: new Map() };
/** Of a Device that was given to another node, or to none. */
export const stateUnknown: PendingReport = { twins: new Map(), state: null };

/** Of KubeEdge's devices: they publish either word. */
const onlineStates = new Set(["online", "ok"]);

/** What a node reported, as it goes into the status. */
export function reportOf(report: DeviceStatusReport): PendingReport {
  const { deviceUid, madeMs } = report;
  if (report.kind === "twins") return { twins: report.twins, deviceUid, madeMs };
  const { state } = report;
  return {
    twins: new Map(),
    deviceUid,
    state,
    madeMs,
    lastOnlineMs: onlineStates.has(state) ? madeMs : undefined,
  };
}

export function mergeReports(before: PendingReport | undefined, next: PendingReport): PendingReport {
  if (!before || isOfAnotherObject(before, next)) return next;
  const twins = new Map(before.twins);
  for (const [name, twin] of next.twins) twins.set(name, twin && mergeSides(twins.get(name), twin, next));
  return {
    twins,
    deviceUid: next.deviceUid ?? before.deviceUid,
    state: next.state === undefined ? before.state : next.state,
    lastOnlineMs: next.lastOnlineMs ?? before.lastOnlineMs,
    madeMs: next.madeMs ?? before.madeMs,
  };
}

/** A node of KubeEdge reports what changed of a twin, ours all of it. */
function mergeSides(
  before: ReportedTwin | null | undefined,
  twin: ReportedTwin,
  { deviceUid }: Pick<PendingReport, "deviceUid">,
): ReportedTwin {
  const { reported, ...rest } = before ?? {};
  return { ...(reported ? { reported } : {}), ...(deviceUid === undefined ? rest : {}), ...twin };
}

/**
 * Whether a report has all that one before it has, so that the one before is answered with it: its node keeps the later one. Nodes of
 * ours report all sides of a twin.
 */
export function covers(next: PendingReport, before: PendingReport): boolean {
  if (next.deviceUid === undefined || next.deviceUid !== before.deviceUid) return false;
  if (before.state !== undefined && next.state === undefined) return false;
  return [...before.twins.keys()].every((name) => next.twins.has(name));
}

function isOfAnotherObject(before: PendingReport, next: PendingReport): boolean {
  return (
    before.deviceUid !== undefined && next.deviceUid !== undefined && before.deviceUid !== next.deviceUid
  );
}

/** Whether a report is about this object, or may be. */
export function isReportAbout(device: Device, { deviceUid }: PendingReport): boolean {
  return deviceUid === undefined || deviceUid === device.metadata.uid;
}

/**
 * The status of a device after a report. Twins exist for properties of its spec or model only, and are removed with them. The
 * list is complete: merge patches replace lists.
 * @param at.waitedMs how long the report has waited for its write
 */
export function statusAfter(
  device: Device,
  model: DeviceModel | undefined,
  report: PendingReport,
  { nowMs, waitedMs }: { readonly nowMs: number; readonly waitedMs: number },
): DeviceStatus {
  const twins = mergeTwins(device, model, report);
  const { state: known, ...before } = device.status ?? {};
  const { state = known, lastOnlineMs } = report;
  const isReport = report.twins.size > 0 || typeof report.state === "string";
  const behindSeconds = Math.floor(Math.max(0, waitedMs) / 1000);
  return {
    ...before,
    ...(twins.length > 0 || before.twins ? { twins } : {}),
    ...(state === undefined || state === null ? {} : { state }),
    ...(lastOnlineMs === undefined ? {} : { lastOnlineTime: rfc3339(Math.min(lastOnlineMs, nowMs)) }),
    ...(isReport
      ? {
          reportedTime: rfc3339(reportedMs(device, report, nowMs)),
          ...(behindSeconds > 0 || before.behindSeconds !== undefined ? { behindSeconds } : {}),
        }
      : {}),
  };
}

/** Whether the status has twins of properties neither the Device nor its model has. */
export function hasStaleTwins(device: Device, model: DeviceModel | undefined): boolean {
  const known = knownProperties(device, model);
  return (
    known.isWhole && (device.status?.twins ?? []).some(({ propertyName }) => !known.names.has(propertyName))
  );
}

/**
 * A report may have waited for days, so the time it was made counts; unless the node's clock is ahead, or behind the creation
 * of the Device.
 */
function reportedMs({ metadata }: Device, { madeMs }: PendingReport, nowMs: number): number {
  const createdMs = Date.parse(metadata.creationTimestamp ?? "");
  if (madeMs === undefined || madeMs < createdMs) return nowMs;
  return Math.min(madeMs, nowMs);
}

function mergeTwins(
  device: Device,
  model: DeviceModel | undefined,
  report: PendingReport,
): DeviceTwinStatus[] {
  const { names, isWhole } = knownProperties(device, model);
  const twins = new Map((device.status?.twins ?? []).map((twin) => [twin.propertyName, twin]));
  for (const [propertyName, values] of report.twins) {
    const { propertyName: _, ...before } = twins.get(propertyName) ?? { propertyName };
    const isKnown = twins.has(propertyName) || names.has(propertyName);
    if (!values) twins.delete(propertyName);
    else if (isKnown) twins.set(propertyName, { propertyName, ...mergeSides(before, values, report) });
  }
  const hasValue = ({ propertyName, reported, observedDesired }: DeviceTwinStatus): boolean =>
    (!isWhole || names.has(propertyName)) && (reported !== undefined || observedDesired !== undefined);
  return [...twins.values()].filter(hasValue);
}

/** `isWhole`: all are known, unless the Device names a model that does not exist. */
function knownProperties(
  device: Device,
  model: DeviceModel | undefined,
): { readonly names: ReadonlySet<string>; readonly isWhole: boolean } {
  const properties = [...(device.spec?.properties ?? []), ...(model?.spec?.properties ?? [])];
  const isWhole = model !== undefined || !device.spec?.deviceModelRef?.name;
  return { names: new Set(properties.map(({ name }) => name)), isWhole };
}
