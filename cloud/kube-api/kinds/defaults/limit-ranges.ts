import { childOf, ensureChild, itemsOf, setDefault, type JsonObject } from "#shared/json";

/** Defaults of a LimitRange itself, after pkg/apis/core/v1/defaults.go. */
export function defaultLimitRange(object: JsonObject): void {
  for (const item of itemsOf(childOf(object, "spec"), "limits")) {
    if (item.type !== "Container") continue;
    const limits = ensureChild(item, "default");
    const requests = ensureChild(item, "defaultRequest");
    fill(limits, childOf(item, "max"));
    fill(requests, limits);
    fill(requests, childOf(item, "min"));
    for (const field of ["default", "defaultRequest"])
      if (Object.keys(childOf(item, field) ?? {}).length === 0) delete item[field];
  }
}

/** Gives containers the limits and requests that a LimitRange of their namespace has for those without. */
export function limitContainers(spec: JsonObject, limitRanges: readonly JsonObject[]): void {
  const items = limitRanges
    .flatMap((range) => itemsOf(childOf(range, "spec"), "limits"))
    .filter((item) => item.type === "Container");
  for (const item of items)
    for (const container of ["initContainers", "containers"].flatMap((field) => itemsOf(spec, field))) {
      const resources = ensureChild(container, "resources");
      fillField(resources, "limits", childOf(item, "default"));
      fillField(resources, "requests", childOf(item, "defaultRequest"));
    }
}

function fillField(resources: JsonObject, field: string, from: JsonObject | undefined): void {
  if (from && Object.keys(from).length > 0) fill(ensureChild(resources, field), from);
}

function fill(amounts: JsonObject, from: JsonObject | undefined): void {
  for (const [name, amount] of Object.entries(from ?? {})) setDefault(amounts, name, amount);
}
