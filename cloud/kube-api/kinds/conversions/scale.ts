import { labelSelectorOf } from "#cloud/kube-api/kinds/validation";
import type { KindInfo } from "#cloud/kube-api/schema";
import { accept, failureStatus, invalidStatus, refuse, type ApiOutcome } from "#cloud/kube-api/status";
import {
  childOf,
  cloneJson,
  ensureChild,
  isObject,
  numberOf,
  ownField,
  setField,
  textMapOf,
  textOf,
  type Json,
  type JsonObject,
} from "#shared/json";
import { apiVersionOf, formatLabelSelector } from "#shared/kube";

/** autoscaling/v1 Scale of an object, undefined when its kind cannot be scaled. */
export function scaleOf(kind: KindInfo, object: JsonObject): JsonObject | undefined {
  if (!kind.subresources.some(({ name }) => name === "scale")) return undefined;
  const metadata = childOf(object, "metadata") ?? {};
  const kept = ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"].flatMap((field) => {
    const value = metadata[field];
    return value === undefined ? [] : [[field, value] as const];
  });
  const paths = kind.custom?.scale;
  const desired = countAt(object, paths?.specReplicasPath ?? ".spec.replicas") ?? 0;
  const selector = selectorOf(kind, object);
  return {
    kind: "Scale",
    apiVersion: "autoscaling/v1",
    metadata: Object.fromEntries(kept),
    spec: desired === 0 ? {} : { replicas: desired },
    status: {
      replicas: countAt(object, paths?.statusReplicasPath ?? ".status.replicas") ?? 0,
      ...(selector === "" ? {} : { selector }),
    },
  };
}

/** A copy of `object` that asks for the replicas of a Scale. */
export function withScale(kind: KindInfo, object: JsonObject, scale: JsonObject): ApiOutcome<JsonObject> {
  const wanted = childOf(scale, "spec")?.replicas ?? 0;
  const name = textOf(childOf(object, "metadata"), "name");
  if (typeof wanted !== "number" || !Number.isInteger(wanted))
    return refuse(
      failureStatus(
        `Scale in version "v1" cannot be handled as a Scale: json: cannot unmarshal ${typeof wanted} into Go struct field ScaleSpec.spec.replicas of type int32`,
        "BadRequest",
        400,
      ),
    );
  if (wanted < 0)
    return refuse(
      invalidStatus({ group: "autoscaling", version: "v1", kind: "Scale" }, name, [
        {
          reason: "FieldValueInvalid",
          field: "spec.replicas",
          message: `Invalid value: ${wanted}: must be greater than or equal to 0`,
        },
      ]),
    );
  const copy = cloneJson(object);
  const path = (kind.custom?.scale?.specReplicasPath ?? ".spec.replicas")
    .split(".")
    .filter((part) => part !== "");
  const owner = path.slice(0, -1).reduce(ensureChild, copy);
  setField(owner, path[path.length - 1] ?? "replicas", wanted);
  return accept(copy);
}

function selectorOf(kind: KindInfo, object: JsonObject): string {
  if (kind.custom !== undefined) {
    const value = valueAt(object, kind.custom.scale?.labelSelectorPath ?? "");
    return typeof value === "string" ? value : "";
  }
  const selector = childOf(childOf(object, "spec"), "selector");
  if (apiVersionOf(kind) !== "v1") return formatLabelSelector(labelSelectorOf(selector));
  return formatLabelSelector({ matchLabels: textMapOf(childOf(object, "spec"), "selector") });
}

function countAt(object: JsonObject, path: string): number | undefined {
  const parts = path.split(".").filter((part) => part !== "");
  const owner = valueAt(object, parts.slice(0, -1).join("."));
  return isObject(owner) ? numberOf(owner, parts[parts.length - 1] ?? "") : undefined;
}

function valueAt(object: JsonObject, path: string): Json | undefined {
  let value: Json | undefined = object;
  for (const part of path.split(".").filter((part) => part !== ""))
    value = isObject(value) ? ownField(value, part) : undefined;
  return value;
}
