import { asRecord, tryJson } from "#shared/json";
import type { JsonBody } from "#shared/topics";

/** @returns undefined for a text that is not a JSON object */
export function parseJson(payload: Uint8Array | string): JsonBody | undefined {
  return asRecord(tryJson(typeof payload === "string" ? payload : Buffer.from(payload).toString("utf8")));
}

/** The event id of a request, which its answer repeats; empty when it has none. */
export function readEventId(body: JsonBody | undefined): string {
  const id = body?.["event_id"];
  return typeof id === "string" ? id : "";
}
