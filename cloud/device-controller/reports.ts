import { rfc3339 } from "#shared/clock";
import type { Device, DeviceModel, DeviceStatus, DeviceTwinStatus, TwinValue } from "#shared/kube";
import { asRecord } from "#shared/json";

type TwinSides = Omit<DeviceTwinStatus, "propertyName">;

/** What a node reported of a device and is not in the API yet; later reports go over earlier ones. */
export interface Report {
  /** null: the twin is gone */
  readonly twins: ReadonlyMap<string, TwinSides | null>;
  /**
   * Of the Device object the node knew, where it says so: another one of its name is not meant. Our nodes say it, and what
   * they do not expect nobody expects; what was reported stays, as a node new to the device has no value yet.
   */
  readonly deviceUid?: string | undefined;
  /** null: nobody knows */
  readonly state?: string | null | undefined;
  /** Of the node's clock, milliseconds since 1970. */
  readonly lastOnlineMs?: number | undefined;
  /** When the node made the report, by its clock; absent where it does not say. */
  readonly madeMs?: number | undefined;
}

type Fields = Readonly<Record<string, unknown>>;

/** Says nothing: the status is only brought to what Device and model say now. */
export const nothingNew: Report = { twins: new Map() };
/** Of a Device that was given to another node, or to none. */
export const stateUnknown: Report = { twins: new Map(), state: null };

const onlineStates = new Set(["online", "ok"]);

/** Reads the content of `edge_updated`; undefined when it is none. */
export function readTwinReport(content: unknown): Report | undefined {
  const body = asRecord(content);
  const twins = asRecord(body?.["twin"]);
  if (!twins) return undefined;
  const found = new Map<string, TwinSides | null>();
  for (const [name, entry] of Object.entries(twins)) {
    const twin = readTwin(asRecord(entry));
    if (twin !== undefined) found.set(name, twin);
  }
  return { twins: found, deviceUid: optionalText(body?.["device_uid"]), madeMs: timeOf(body) };
}

/** @returns null for one that is gone, undefined for what is none */
function readTwin(twin: Fields | undefined): TwinSides | null | undefined {
  const type = asRecord(twin?.["metadata"])?.["type"];
  if (!twin) return undefined;
  if (type === "deleted") return null;
  const reported = readSide(twin["actual"], type);
  const observedDesired = readSide(twin["expected"], type);
  return { ...(reported ? { reported } : {}), ...(observedDesired ? { observedDesired } : {}) };
}

function timeOf(body: Fields | undefined): number | undefined {
  const timestamp = body?.["timestamp"];
  return typeof timestamp === "number" && Math.abs(timestamp) < 8.64e15 ? timestamp : undefined;
}

function optionalText(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

/** Reads the content of `state/update`: the text that was published to the device. */
export function readStateReport(content: unknown): Report | undefined {
  const body = asRecord(typeof content === "string" ? parse(content) : content);
  const state = asRecord(body?.["device"])?.["state"];
  if (typeof state !== "string") return undefined;
  const madeMs = timeOf(body);
  return {
    twins: new Map(),
    deviceUid: optionalText(body?.["device_uid"]),
    state,
    madeMs,
    lastOnlineMs: onlineStates.has(state) ? madeMs : undefined,
  };
}

export function mergeReports(before: Report | undefined, next: Report): Report {
  if (!before || isOfAnother(before, next)) return next;
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

/** A node of KubeEdge tells what changed of a twin, ours all of it. */
function mergeSides(
  before: TwinSides | null | undefined,
  twin: TwinSides,
  { deviceUid }: Pick<Report, "deviceUid">,
): TwinSides {
  const { reported, ...rest } = before ?? {};
  return { ...(reported ? { reported } : {}), ...(deviceUid === undefined ? rest : {}), ...twin };
}

function isOfAnother(before: Report, next: Report): boolean {
  return (
    before.deviceUid !== undefined && next.deviceUid !== undefined && before.deviceUid !== next.deviceUid
  );
}

/** Whether a report is about this object, or may be. */
export function isAbout(device: Device, { deviceUid }: Report): boolean {
  return deviceUid === undefined || deviceUid === device.metadata.uid;
}

/**
 * The status a device has after a report. Twins appear by themselves for properties its spec or model knows, and go with
 * them. The list is whole: merge patches replace lists.
 */
export function applyReport(
  device: Device,
  model: DeviceModel | undefined,
  report: Report,
  nowMs: number,
): DeviceStatus {
  const twins = mergeTwins(device, model, report);
  const { state: known, ...before } = device.status ?? {};
  const { state = known, lastOnlineMs } = report;
  const isReport = report.twins.size > 0 || typeof report.state === "string";
  return {
    ...before,
    ...(twins.length > 0 || before.twins ? { twins } : {}),
    ...(state === undefined || state === null ? {} : { state }),
    ...(lastOnlineMs === undefined ? {} : { lastOnlineTime: rfc3339(Math.min(lastOnlineMs, nowMs)) }),
    ...(isReport ? { reportedTime: rfc3339(reportedMs(device, report, nowMs)) } : {}),
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
 * A report may have waited for days, so the time it was made counts; not that of a clock that is ahead, nor of one that is
 * before the Device was there.
 */
function reportedMs({ metadata }: Device, { madeMs }: Report, nowMs: number): number {
  const createdMs = Date.parse(metadata.creationTimestamp ?? "");
  if (madeMs === undefined || madeMs < createdMs) return nowMs;
  return Math.min(madeMs, nowMs);
}

function mergeTwins(device: Device, model: DeviceModel | undefined, report: Report): DeviceTwinStatus[] {
  const { names, isWhole } = knownProperties(device, model);
  const twins = new Map((device.status?.twins ?? []).map((twin) => [twin.propertyName, twin]));
  for (const [propertyName, values] of report.twins) {
    const { propertyName: _, ...before } = twins.get(propertyName) ?? { propertyName };
    const isKnown = twins.has(propertyName) || names.has(propertyName);
    if (!values) twins.delete(propertyName);
    else if (isKnown) twins.set(propertyName, { propertyName, ...mergeSides(before, values, report) });
  }
  const isSaid = ({ propertyName, reported, observedDesired }: DeviceTwinStatus): boolean =>
    (!isWhole || names.has(propertyName)) && (reported !== undefined || observedDesired !== undefined);
  return [...twins.values()].filter(isSaid);
}

/** `isWhole`: unless a model is named that is not there. */
function knownProperties(
  device: Device,
  model: DeviceModel | undefined,
): { readonly names: ReadonlySet<string>; readonly isWhole: boolean } {
  const properties = [...(device.spec?.properties ?? []), ...(model?.spec?.properties ?? [])];
  const isWhole = model !== undefined || !device.spec?.deviceModelRef?.name;
  return { names: new Set(properties.map(({ name }) => name)), isWhole };
}

function readSide(value: unknown, type: unknown): TwinValue | undefined {
  const side = asRecord(value);
  const text = side?.["value"];
  if (typeof text !== "string") return undefined;
  const timestamp = asRecord(side?.["metadata"])?.["timestamp"];
  const metadata = {
    ...(typeof timestamp === "number" ? { timestamp: String(timestamp) } : {}),
    ...(typeof type === "string" ? { type } : {}),
  };
  return { value: text, metadata };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
