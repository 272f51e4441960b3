import { meetsLabelExpressions, parseLabelSelector, type KubeObject } from "#shared/kube";
import { isRecord } from "#shared/json";

/** The fields by which strategic merges match list items, tried in this order; good enough for the kinds tests use. */
const mergeKeys: Record<string, string> = {
  conditions: "type",
  containers: "name",
  initContainers: "name",
  volumes: "name",
  env: "name",
  addresses: "type",
  ownerReferences: "uid",
  taints: "key",
};

/** JSON merge patch; with `strategic`, known lists are merged by their key and `finalizers` is a set. */
export function mergePatch(target: unknown, patch: unknown, strategic: boolean): unknown {
  if (!isRecord(patch)) return patch;
  const result: Record<string, unknown> = isRecord(target) ? { ...target } : {};
  for (const [field, value] of Object.entries(patch)) {
    if (field.startsWith("$")) continue;
    if (value === null) delete result[field];
    else result[field] = mergeField(field, result[field], value, strategic);
  }
  return result;
}

function mergeField(field: string, old: unknown, value: unknown, strategic: boolean): unknown {
  const key = mergeKeys[field];
  if (strategic && key !== undefined && Array.isArray(value)) return mergeByKey(old, value, key);
  if (strategic && field === "finalizers" && Array.isArray(value) && Array.isArray(old))
    return [...new Set([...(old as unknown[]), ...(value as unknown[])])];
  return mergePatch(old, value, strategic);
}

function mergeByKey(old: unknown, patch: unknown[], key: string): unknown[] {
  const items = Array.isArray(old) ? ([...old] as unknown[]) : [];
  const idOf = (item: unknown): unknown => (isRecord(item) ? item[key] : undefined);
  for (const change of patch) {
    const at = items.findIndex((item) => idOf(item) === idOf(change));
    const isDelete = isRecord(change) && change["$patch"] === "delete";
    if (isDelete && at >= 0) items.splice(at, 1);
    else if (!isDelete && at >= 0) items[at] = mergePatch(items[at], change, true);
    else if (!isDelete) items.push(change);
  }
  return items;
}

/** Label selectors as in URLs; one that is not well formed matches nothing. */
export function selectorMatches(selector: string, labels: Record<string, string>): boolean {
  const parsed = parseLabelSelector(selector);
  return parsed.ok && meetsLabelExpressions(parsed.requirements, labels);
}

/** Field selectors: `spec.nodeName=edge-1,status.phase!=Running`. */
export function fieldsMatch(selector: string, object: KubeObject): boolean {
  return selector.split(",").every((term) => {
    const parts = /^([^=!]+)(==|=|!=)(.*)$/.exec(term.trim());
    if (!parts) return false;
    const found = valueAt(object, parts[1] ?? "") ?? "";
    const equal = (typeof found === "string" ? found : JSON.stringify(found)) === parts[3];
    return equal === (parts[2] !== "!=");
  });
}

function valueAt(object: unknown, path: string): unknown {
  let at = object;
  for (const step of path.split(".")) at = isRecord(at) ? at[step] : undefined;
  return at;
}

/** Kinds of which an update says which version it replaces: custom ones, and some others. */
export function needsVersion({
  group,
  plural,
}: {
  readonly group: string;
  readonly plural: string;
}): boolean {
  return group.endsWith("kubeedge.io") || plural === "leases" || plural === "poddisruptionbudgets";
}
