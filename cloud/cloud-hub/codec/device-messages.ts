import type { Device, DeviceModel, TwinValue } from "#shared/kube";
import type { DeviceStatusReport, DiscoveredDevice, ReportedTwin, RuleStatusReport } from "#shared/topics";
import { asRecord, isRecord } from "#shared/json";
import type { WireMessage } from "#shared/wire";

/** A message of source `twin`. */
export type TwinMessage =
  | { readonly kind: "report"; readonly report: DeviceStatusReport }
  | { readonly kind: "discovered"; readonly discovered: DiscoveredDevice }
  | { readonly kind: "rule-status"; readonly report: RuleStatusReport }
  /** The node asks for its members. */
  | { readonly kind: "members" }
  /** Nothing the cloud reads, or nothing it can read. */
  | { readonly kind: "unreadable"; readonly device: string };

type Fields = Readonly<Record<string, unknown>>;

/** Reads a message of `node` whose resource has no `node/<id>/` prefix. */
export function readTwinMessage(node: string, { route, content }: WireMessage): TwinMessage {
  const { resource = "" } = route;
  if (resource === "membership/detail") return { kind: "members" };
  const [, namespace, name] = /^device\/([^/]+)\/([^/]+)\/rule-status$/.exec(resource) ?? [];
  if (namespace !== undefined && name !== undefined)
    return readRuleStatus({ node, namespace, name }, content);
  if (/^device\/[^/]+\/discovered$/.test(resource)) return readDiscovered(node, content);
  const [, device = "", topic] =
    /^device\/(.+?)\/(twin\/edge_updated|state\/update|state)$/.exec(resource) ?? [];
  if (topic === undefined) return { kind: "unreadable", device };
  const source = { node, device };
  const report =
    topic === "twin/edge_updated" ? readTwins(source, content) : readState(source, parsed(content));
  return report ? { kind: "report", report } : { kind: "unreadable", device };
}

/** The status is the node's own: only what it may hold is taken. */
function readRuleStatus(
  place: { readonly node: string; readonly namespace: string; readonly name: string },
  content: unknown,
): TwinMessage {
  const body = asRecord(content);
  const status = asRecord(body?.["status"]);
  const uid = body?.["uid"];
  if (!status || typeof uid !== "string") return { kind: "unreadable", device: place.name };
  const counts = ["runs", "dryRuns", "failures", "suppressed"].flatMap((name) =>
    Number.isSafeInteger(status[name]) ? [[name, status[name]] as const] : [],
  );
  const texts = ["state", "lastRunTime", "lastError"].flatMap((name) => {
    const text = status[name];
    return typeof text === "string" ? [[name, text.slice(0, 1024)] as const] : [];
  });
  const waiting: unknown = status["waitingFor"];
  const waitingFor = Array.isArray(waiting)
    ? waiting.filter((one) => typeof one === "string").slice(0, 16)
    : [];
  const holds = status["holds"] === true;
  return {
    kind: "rule-status",
    report: { ...place, uid, status: { ...Object.fromEntries([...counts, ...texts]), holds, waitingFor } },
  };
}

interface ReportSource {
  readonly node: string;
  readonly device: string;
}

/** Reads the content of `edge_updated`, KubeEdge's dttype.DeviceTwinUpdate. */
function readTwins(source: ReportSource, content: unknown): DeviceStatusReport | undefined {
  const body = asRecord(content);
  const twins = asRecord(body?.["twin"]);
  if (!twins) return undefined;
  const found = new Map<string, ReportedTwin | null>();
  for (const [name, entry] of Object.entries(twins)) {
    const twin = readTwin(asRecord(entry));
    if (twin !== undefined) found.set(name, twin);
  }
  return { kind: "twins", ...source, ...headOf(body), twins: found };
}

/** @returns null for one that was deleted, undefined for what is none */
function readTwin(twin: Fields | undefined): ReportedTwin | null | undefined {
  if (!twin) return undefined;
  const type = asRecord(twin["metadata"])?.["type"];
  if (type === "deleted") return null;
  const reported = readSide(twin["actual"], type);
  const observedDesired = readSide(twin["expected"], type);
  return { ...(reported ? { reported } : {}), ...(observedDesired ? { observedDesired } : {}) };
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

/** Reads the content of `state/update`, which was published to the device as text. */
function readState(source: ReportSource, content: unknown): DeviceStatusReport | undefined {
  const body = asRecord(content);
  const state = asRecord(body?.["device"])?.["state"];
  return typeof state === "string" ? { kind: "state", ...source, ...headOf(body), state } : undefined;
}

function headOf(body: Fields | undefined): Pick<DeviceStatusReport, "deviceUid" | "madeMs"> {
  const uid = body?.["device_uid"];
  const timestamp = body?.["timestamp"];
  const isTime = typeof timestamp === "number" && Math.abs(timestamp) < latestDateMs;
  return { deviceUid: typeof uid === "string" ? uid : undefined, madeMs: isTime ? timestamp : undefined };
}

/** Beyond it there is no Date (ECMA-262, 21.4.1.1). */
const latestDateMs = 8.64e15;

function readDiscovered(node: string, content: unknown): TwinMessage {
  const { device, model } = asRecord(content) ?? {};
  if (!isDevice(device) || !isModel(model)) return { kind: "unreadable", device: "" };
  return { kind: "discovered", discovered: { node, device, model } };
}

/** Objects as far as the codec looks; devicecontroller checks what is in them. */
function isDevice(value: unknown): value is Device {
  return asRecord(asRecord(value)?.["metadata"]) !== undefined;
}

function isModel(value: unknown): value is DeviceModel {
  return isRecord(value);
}

function parsed(content: unknown): unknown {
  if (typeof content !== "string") return content;
  try {
    return JSON.parse(content);
  } catch {
    return undefined;
  }
}
