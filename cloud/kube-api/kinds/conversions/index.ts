import { validateObject } from "#cloud/kube-api/kinds/validation";
import { definitionName, type KindInfo } from "#cloud/kube-api/schema";
import { accept, invalidStatus, refuse, type ApiOutcome } from "#cloud/kube-api/status";
import { metadataOf, textOf, type JsonObject } from "#shared/json";
import { newAutoscaler, oldAutoscaler } from "./autoscalers.ts";
import { strictEventProblems } from "./event-rules.ts";
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

/** An object as `toStored` has made it, judged by rules that the requested kind has and the stored one has not. */
export function admitShown(
  { storedAs, ...kind }: KindInfo,
  object: JsonObject,
  current?: JsonObject,
): ApiOutcome<JsonObject> {
  if (!storedAs || definitionName(kind) !== "events.v1.Event") return accept(object);
  const strict = strictEventProblems(object, current);
  if (strict.length === 0) return accept(object);
  const errors = [...(current ? [] : validateObject(storedAs, object)), ...strict];
  return refuse(invalidStatus(storedAs, textOf(metadataOf(object), "name"), errors));
}

/** A stored object in the form of a kind. */
export function toShown(kind: KindInfo, object: JsonObject): JsonObject {
  return conversions[definitionName(kind)]?.toShown(object) ?? object;
}
export { scaleOf, withScale } from "./scale.ts";
