import { invalid, required } from "#cloud/kube-api/kinds/validation";
import type { FieldError } from "#cloud/kube-api/schema";
import { childOf, numberOf, sameMeaning, textOf, type JsonObject } from "#shared/json";

/** Fields of the core group, which Events of events.k8s.io have for clients of the core group only. */
const deprecatedFields = ["firstTimestamp", "lastTimestamp", "count", "source"] as const;

/** Fields that an update cannot change, with their internal names where these differ. */
const settled: Readonly<Record<string, string>> = {
  involvedObject: "involvedObject",
  reason: "reason",
  message: "message",
  source: "source",
  firstTimestamp: "firstTimestamp",
  lastTimestamp: "lastTimestamp",
  count: "count",
  type: "type",
  eventTime: "eventTime",
  action: "action",
  related: "related",
  reportingComponent: "reportingController",
  reportingInstance: "reportingInstance",
};

/**
 * What events.k8s.io requires of an Event besides the core group (pkg/apis/core/validation/events.go). Both are in the form of the
 * core group; without `current` the Event is new.
 */
export function strictEventProblems(event: JsonObject, current: JsonObject | undefined): FieldError[] {
  if (current) {
    const changed = Object.entries(settled).filter(([field]) => !sameMeaning(event[field], current[field]));
    return [
      ...(sameMeaning(event["series"], current["series"]) ? [] : seriesProblems(event)),
      ...changed.map(([field, name]) => invalid(name, event[field], "field is immutable")),
    ];
  }
  const type = textOf(event, "type");
  return [
    ...seriesProblems(event),
    ...(textOf(event, "eventTime") === "" ? [required("eventTime")] : []),
    ...(type === "Normal" || type === "Warning" ? [] : [invalid("type", "", `has invalid value: ${type}`)]),
    ...deprecatedFields
      .filter((field) => isSet(event, field))
      .map((field) => invalid(field, "", "needs to be unset")),
  ];
}

function seriesProblems(event: JsonObject): FieldError[] {
  const series = childOf(event, "series");
  if (!series) return [];
  return [
    ...((numberOf(series, "count") ?? 0) < 2 ? [invalid("series.count", "", "should be at least 2")] : []),
    ...(textOf(series, "lastObservedTime") === "" ? [required("series.lastObservedTime")] : []),
  ];
}

function isSet(event: JsonObject, field: string): boolean {
  const value = event[field];
  if (field !== "source") return value !== undefined && value !== null && value !== 0;
  const source = childOf(event, field);
  return textOf(source, "component") !== "" || textOf(source, "host") !== "";
}
