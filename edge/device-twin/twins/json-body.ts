import { isRecord } from "#shared/json";
import type { JsonBody } from "#shared/topics";

/** @returns undefined for a text that is not a JSON object */
export function parseJson(payload: Uint8Array | string): JsonBody | undefined {
  try {
    const text = typeof payload === "string" ? payload : Buffer.from(payload).toString("utf8");
    const value: unknown = JSON.parse(text);
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** The event id of a request, which its answer repeats; empty when it has none. */
export function readEventId(body: JsonBody | undefined): string {
  const id = body?.["event_id"];
  return typeof id === "string" ? id : "";
}
