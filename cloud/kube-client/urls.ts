import type { ListOptions, ResourceType } from "./kube-client.ts";

export interface Target {
  readonly namespace?: string | undefined;
  readonly name?: string | undefined;
  readonly subresource?: string | undefined;
}

/** The path of a collection, an object or a subresource. */
export function pathOf(type: ResourceType, target: Target): string {
  const root = type.group === "" ? `/api/${type.version}` : `/apis/${type.group}/${type.version}`;
  const namespace =
    type.namespaced && target.namespace ? `/namespaces/${encodeURIComponent(target.namespace)}` : "";
  const name = target.name === undefined ? "" : `/${encodeURIComponent(target.name)}`;
  const subresource = target.subresource === undefined ? "" : `/${target.subresource}`;
  // Metrics of external.metrics.k8s.io have no collection.
  const plural = type.plural === "" ? "" : `/${type.plural}`;
  return `${root}${namespace}${plural}${name}${subresource}`;
}

export function queryOf(parameters: Readonly<Record<string, string | number | boolean | undefined>>): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters))
    if (value !== undefined && value !== "") query.set(name, String(value));
  return query.size === 0 ? "" : `?${query.toString()}`;
}

export function selectorsOf(options: Omit<ListOptions, "signal">): {
  labelSelector?: string | undefined;
  fieldSelector?: string | undefined;
} {
  return { labelSelector: options.labelSelector, fieldSelector: options.fieldSelector };
}
