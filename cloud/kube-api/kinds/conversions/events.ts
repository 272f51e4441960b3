import type { JsonObject } from "#shared/json";
import { renamed } from "./renamed.ts";

/** Fields of an Event of events.k8s.io by their names in the core group (pkg/apis/events/v1/conversion.go). */
const names: Readonly<Record<string, string>> = {
  involvedObject: "regarding",
  message: "note",
  source: "deprecatedSource",
  firstTimestamp: "deprecatedFirstTimestamp",
  lastTimestamp: "deprecatedLastTimestamp",
  count: "deprecatedCount",
  reportingComponent: "reportingController",
};
const coreNames = Object.fromEntries(Object.entries(names).map(([core, modern]) => [modern, core]));

export function modernEvent(event: JsonObject): JsonObject {
  return { ...renamed(event, names), apiVersion: "events.k8s.io/v1", kind: "Event" };
}

export function coreEvent(event: JsonObject): JsonObject {
  return { ...renamed(event, coreNames), apiVersion: "v1", kind: "Event" };
}
