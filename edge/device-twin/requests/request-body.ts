import { isRecord } from "#shared/json";
import {
  parseJson,
  readEventId,
  readTwinRequest,
  readTwins,
  readTwinSide,
  type TwinRequests,
} from "#edge/device-twin/twins";

/** The body of `twin/update`. */
export interface UpdateRequest {
  readonly eventId: string;
  readonly twins: TwinRequests;
}

/** A parsed body; a refusal has the event id when there is one. */
export type ParsedRequest<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly eventId: string; readonly reason: string };

/** Reasons of KubeEdge, which its mappers may compare. */
const unreadable = "Unmarshal update request body failed, please check the request";
const noTwin = "Update twin error, key:twin does not exist";

/** The body of `twin/get` and `membership/get`: an object, with an event id or without. */
export function parseGet(payload: Uint8Array): ParsedRequest<{ readonly eventId: string }> {
  const body = parseJson(payload);
  const eventId = readEventId(body);
  return body ? { ok: true, value: { eventId } } : { ok: false, eventId, reason: unreadable };
}

/** The body of `state/update`. */
export interface StateRequest {
  readonly eventId: string;
  /** In lower case; undefined when the body has no text there. */
  readonly state: string | undefined;
}

/** @returns states of any text; the caller knows which there are */
export function parseState(payload: Uint8Array): ParsedRequest<StateRequest> {
  const body = parseJson(payload);
  const eventId = readEventId(body);
  if (!body) return { ok: false, eventId, reason: unreadable };
  const state = body["state"];
  return { ok: true, value: { eventId, state: typeof state === "string" ? state.toLowerCase() : undefined } };
}

/** Refuses the whole body when one twin in it has a field of a wrong type, as KubeEdge does. */
export function parseUpdate(payload: Uint8Array | string): ParsedRequest<UpdateRequest> {
  const body = parseJson(payload);
  const eventId = readEventId(body);
  if (!body) return { ok: false, eventId, reason: unreadable };
  if (body["twin"] === undefined || body["twin"] === null) return { ok: false, eventId, reason: noTwin };
  const twins = readTwins(body["twin"]);
  return twins ? { ok: true, value: { eventId, twins } } : { ok: false, eventId, reason: unreadable };
}

/** Why `parseUpdate` refuses a body, for people: the answer has the reason of KubeEdge, which does not say it. */
export function explainUpdate(payload: Uint8Array | string): string {
  const body = parseJson(payload);
  if (!body) return "expected a JSON object";
  const { twin } = body;
  if (!isRecord(twin)) return "twin: expected an object with the properties in it";
  const entry = Object.entries(twin).find(([, one]) => one !== null && readTwinRequest(one) === undefined);
  return entry ? explainTwin(entry[0].slice(0, 128), entry[1]) : "expected an update";
}

function explainTwin(name: string, entry: unknown): string {
  if (!isRecord(entry)) return `twin.${name}: expected an object with actual or expected, or null`;
  for (const side of ["actual", "expected"] as const) {
    const given = entry[side];
    if (readTwinSide(given) !== false) continue;
    if (!isRecord(given)) return `twin.${name}.${side}: expected {"value": "…"}`;
    const text = JSON.stringify(given["value"]).slice(0, 100);
    return `twin.${name}.${side}.value: expected a JSON string such as "21.5", got ${text}`;
  }
  return `twin.${name}: expected optional true or false, and metadata with a type that is a text`;
}
