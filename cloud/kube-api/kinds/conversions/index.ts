import { definitionName, type KindInfo } from "#cloud/kube-api/schema";
import type { JsonObject } from "#shared/json";
import { newAutoscaler, oldAutoscaler } from "./autoscalers.ts";
import { coreEvent, modernEvent } from "./events.ts";

interface Conversion {
  readonly toStored: (object: JsonObject) => JsonObject;
  readonly toShown: (object: JsonObject) => JsonObject;
}

/** Kinds whose objects are stored as those of another group or version. */
const conversions: Readonly<Record<string, Conversion>> = {
  "events.v1.Event": { toStored: coreEvent, toShown: modernEvent },
  "autoscaling.v1.HorizontalPodAutoscaler": { toStored: newAutoscaler, toShown: oldAutoscaler },
};

/** An object of a kind in the form that is stored. */
export function toStored(kind: KindInfo, object: JsonObject): JsonObject {
  return conversions[definitionName(kind)]?.toStored(object) ?? object;
}

/** A stored object in the form of a kind. */
export function toShown(kind: KindInfo, object: JsonObject): JsonObject {
  return conversions[definitionName(kind)]?.toShown(object) ?? object;
}
export { scaleOf, withScale } from "./scale.ts";
