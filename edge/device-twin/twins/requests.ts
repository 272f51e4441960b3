import type { JsonBody } from "#shared/topics";
import { isRecord } from "#shared/json";

/** What devices, applications and the cloud send: parsed here, trusted inside. */

export interface TwinSideRequest {
  readonly value: string;
}

export interface TwinVersionRequest {
  readonly cloud: number;
  readonly edge: number;
}

/** One entry of `twin`; `null` asks to delete. */
export interface TwinRequest {
  readonly expected?: TwinSideRequest | undefined;
  readonly actual?: TwinSideRequest | undefined;
  readonly optional?: boolean | undefined;
  readonly type?: string | undefined;
  readonly expectedVersion?: TwinVersionRequest | undefined;
  readonly actualVersion?: TwinVersionRequest | undefined;
}

export type TwinRequests = readonly (readonly [string, TwinRequest | null])[];

export interface UpdateRequest {
  readonly eventId: string;
  readonly twins: TwinRequests;
}

/** A refusal carries the event id when it could be read. */
export type ParsedRequest<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly eventId: string; readonly reason: string };

const unreadable = "Unmarshal update request body failed, please check the request";
const noTwin = "Update twin error, key:twin does not exist";

export function parseJson(payload: Uint8Array | string): JsonBody | undefined {
  try {
    const text = typeof payload === "string" ? payload : Buffer.from(payload).toString("utf8");
    const value: unknown = JSON.parse(text);
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** The body of `twin/get` and `membership/get`: an object, with an event id or without. */
export function parseGet(payload: Uint8Array): ParsedRequest<{ readonly eventId: string }> {
  const body = parseJson(payload);
  const eventId = readEventId(body);
  return body ? { ok: true, value: { eventId } } : { ok: false, eventId, reason: unreadable };
}

export interface StateRequest {
  readonly eventId: string;
  /** undefined when the body has no text there */
  readonly state: string | undefined;
}

export function parseState(payload: Uint8Array): ParsedRequest<StateRequest> {
  const body = parseJson(payload);
  const eventId = readEventId(body);
  if (!body) return { ok: false, eventId, reason: unreadable };
  const state = body["state"];
  return { ok: true, value: { eventId, state: typeof state === "string" ? state.toLowerCase() : undefined } };
}

export function parseUpdate(payload: Uint8Array | string): ParsedRequest<UpdateRequest> {
  const body = parseJson(payload);
  const eventId = readEventId(body);
  if (!body) return { ok: false, eventId, reason: unreadable };
  if (body["twin"] === undefined || body["twin"] === null) return { ok: false, eventId, reason: noTwin };
  const twins = readTwins(body["twin"]);
  return twins ? { ok: true, value: { eventId, twins } } : { ok: false, eventId, reason: unreadable };
}

/** What is wrong with an update that cannot be read, for people: the answer to it has KubeEdge's words. */
export function explainUpdate(payload: Uint8Array | string): string {
  const body = parseJson(payload);
  if (!body) return "expected a JSON object";
  const { twin } = body;
  if (!isRecord(twin)) return "twin: expected an object with the properties in it";
  const entry = Object.entries(twin).find(([, one]) => one !== null && readTwin(one) === undefined);
  return entry ? explainTwin(entry[0].slice(0, 128), entry[1]) : "expected an update";
}

function explainTwin(name: string, entry: unknown): string {
  if (!isRecord(entry)) return `twin.${name}: expected an object with actual or expected, or null`;
  for (const side of ["actual", "expected"] as const) {
    const given = entry[side];
    if (readSide(given) !== false) continue;
    if (!isRecord(given)) return `twin.${name}.${side}: expected {"value": "…"}`;
    const text = JSON.stringify(given["value"]).slice(0, 100);
    return `twin.${name}.${side}.value: expected a JSON string such as "21.5", got ${text}`;
  }
  return `twin.${name}: expected optional true or false, and metadata with a type that is a text`;
}

/** @returns undefined when the value is not a map of twins */
export function readTwins(value: unknown): TwinRequests | undefined {
  if (!isRecord(value)) return undefined;
  const twins: [string, TwinRequest | null][] = [];
  for (const [name, entry] of Object.entries(value)) {
    const twin = entry === null ? null : readTwin(entry);
    if (twin === undefined) return undefined;
    twins.push([name, twin]);
  }
  return twins;
}

/** A device as a cloud names it in a list of members; KubeEdge's says the id alone. */
export interface MemberName {
  readonly id: string;
  readonly name: string;
  readonly namespace: string | undefined;
  readonly uid: string | undefined;
}

export function readMember(entry: JsonBody): MemberName {
  const [id, name, namespace, uid] = ["id", "name", "namespace", "uid"].map((key) => {
    const value = entry[key];
    return typeof value === "string" && value !== "" ? value : undefined;
  });
  return { id: id ?? "", name: name ?? id ?? "", namespace, uid };
}

export function readEventId(body: JsonBody | undefined): string {
  const id = body?.["event_id"];
  return typeof id === "string" ? id : "";
}

function readTwin(entry: unknown): TwinRequest | undefined {
  if (!isRecord(entry)) return undefined;
  const expected = readSide(entry["expected"]);
  const actual = readSide(entry["actual"]);
  if (expected === false || actual === false) return undefined;
  const kind = readKind(entry);
  return (
    kind && {
      ...kind,
      expected,
      actual,
      expectedVersion: readVersion(entry["expected_version"]),
      actualVersion: readVersion(entry["actual_version"]),
    }
  );
}

function readKind(entry: JsonBody): Pick<TwinRequest, "optional" | "type"> | undefined {
  const optional = entry["optional"] ?? undefined;
  const metadata = entry["metadata"] ?? {};
  if (!isRecord(metadata) || (optional !== undefined && typeof optional !== "boolean")) return undefined;
  const type = metadata["type"] ?? "";
  return typeof type === "string" ? { optional, type: type === "" ? undefined : type } : undefined;
}

/** @returns undefined when there is none, false when it is no side */
function readSide(value: unknown): TwinSideRequest | undefined | false {
  if (value === undefined || value === null) return undefined;
  if (!isRecord(value)) return false;
  const inner = value["value"] ?? undefined;
  if (inner === undefined) return undefined;
  return typeof inner === "string" ? { value: inner } : false;
}

function readVersion(value: unknown): TwinVersionRequest | undefined {
  if (!isRecord(value)) return undefined;
  const { cloud = 0, edge = 0 } = value;
  return typeof cloud === "number" && typeof edge === "number" ? { cloud, edge } : undefined;
}
