import { isDeepStrictEqual } from "node:util";
import type { Json, JsonObject } from "#cloud/apischema";
import {
  commonLeaves,
  isLeaf,
  leaves,
  lostItems,
  removeAt,
  spellPath,
  subtract,
  unite,
  valueAt,
  type ManagedEntry,
} from "./managed-fields.ts";
import { isObject, mergePatch } from "./patches.ts";
import { applyConflict } from "./refusal.ts";

export interface ApplyOptions {
  readonly manager: string;
  readonly force: boolean;
  readonly apiVersion: string;
  readonly now: string;
  readonly subresource?: string;
  /** `fieldsV1` of an object of this kind. */
  readonly fieldsOf: (object: JsonObject) => JsonObject;
  /** Merges with knowledge of the kind's lists. */
  readonly merge: (current: JsonObject, applied: JsonObject) => JsonObject;
}

/** Whose fields are nobody's to own. */
const unowned: JsonObject = {
  "f:apiVersion": {},
  "f:kind": {},
  "f:metadata": Object.fromEntries(
    [
      "name",
      "namespace",
      "creationTimestamp",
      "uid",
      "resourceVersion",
      "generation",
      "managedFields",
      "selfLink",
      "deletionTimestamp",
      "deletionGracePeriodSeconds",
    ].map((name) => [`f:${name}`, {}]),
  ),
};

/**
 * Server-side apply: the fields of `applied` become this manager's, those it no longer names and nobody else owns go.
 * @throws Refusal (Conflict) when another manager owns a field with another value and `force` is off
 */
export function serverSideApply(
  current: JsonObject | undefined,
  applied: JsonObject,
  options: ApplyOptions,
): JsonObject {
  const config = structuredClone(applied);
  if (isObject(config["metadata"])) delete config["metadata"]["managedFields"];
  const fields = subtract(options.fieldsOf(config), unowned);
  const before = current === undefined ? [] : entriesOf(current, options);
  const mine = before.find((entry) => isMine(entry, options));
  const others = before.filter((entry) => entry !== mine);
  const conflicts = current === undefined ? [] : findConflicts(current, { config, fields }, others);
  if (conflicts.length > 0 && !options.force) throw applyConflict(conflicts.map(toCause));
  const lost = conflicts.map((conflict) => conflict.path);
  const kept = others
    .map((entry) => ({ ...entry, fieldsV1: without(entry.fieldsV1, lost) }))
    .filter((entry) => !isLeaf(entry.fieldsV1));
  const merged = current === undefined ? config : options.merge(current, config);
  const dropped = subtract(mine?.fieldsV1 ?? {}, fields);
  const ownedByOthers = kept.reduce<JsonObject>((all, entry) => unite(all, entry.fieldsV1), {});
  for (const path of lostItems(dropped, unite(fields, ownedByOthers))) removeAt(merged, path);
  for (const path of leaves(subtract(dropped, ownedByOthers)).toReversed()) removeAt(merged, path);
  return withEntries(merged, [newEntry(options, "Apply", fields), ...kept]);
}

/** Notes that an ordinary write changed fields, on an object somebody manages by apply. */
export function trackUpdate(current: JsonObject, next: JsonObject, options: ApplyOptions): JsonObject {
  const entries = readEntries(current);
  if (!entries.some((entry) => entry.operation === "Apply")) return next;
  const before = subtract(options.fieldsOf(current), unowned);
  const after = subtract(options.fieldsOf(next), unowned);
  const changed = leaves(after).filter(
    (path) => !isDeepStrictEqual(valueAt(current, path), valueAt(next, path)),
  );
  const gone = leaves(subtract(before, after));
  if (changed.length + gone.length === 0) return withEntries(next, entries);
  const fields = changed.reduce<JsonObject>((all, path) => unite(all, toSet(path)), {});
  const mine = entries.find((entry) => isSame(entry, options, "Update"));
  const rest = entries
    .filter((entry) => entry !== mine)
    .map((entry) => ({ ...entry, fieldsV1: without(entry.fieldsV1, [...changed, ...gone]) }))
    .filter((entry) => !isLeaf(entry.fieldsV1));
  const own = unite(without(mine?.fieldsV1 ?? {}, gone), fields);
  return withEntries(next, isLeaf(own) ? rest : [...rest, newEntry(options, "Update", own)]);
}

/** The merge for kinds whose lists are atomic; nulls of the applied object count as absent. */
export function mergeAtomic(current: JsonObject, applied: JsonObject): JsonObject {
  return mergePatch(current, applied) as JsonObject;
}

interface Conflict {
  readonly manager: string;
  readonly operation: string;
  readonly apiVersion: string;
  readonly path: string[];
}

function findConflicts(
  current: JsonObject,
  applied: { config: JsonObject; fields: JsonObject },
  others: readonly ManagedEntry[],
): Conflict[] {
  return others.flatMap((entry) =>
    commonLeaves(applied.fields, entry.fieldsV1)
      .filter((path) => !isDeepStrictEqual(valueAt(current, path), valueAt(applied.config, path)))
      .map((path) => ({
        manager: entry.manager,
        operation: entry.operation,
        apiVersion: entry.apiVersion,
        path,
      })),
  );
}

function toCause(conflict: Conflict): { reason: string; message: string; field: string } {
  const using = conflict.operation === "Update" ? ` using ${conflict.apiVersion}` : "";
  const message = `conflict with "${conflict.manager}"${using}`;
  return { reason: "FieldManagerConflict", message, field: spellPath(conflict.path) };
}

/** Who manages what now; an object nobody applied yet belongs to "before-first-apply". */
function entriesOf(current: JsonObject, options: ApplyOptions): ManagedEntry[] {
  const entries = readEntries(current);
  if (entries.length > 0) return entries;
  const fields = subtract(options.fieldsOf(structuredClone(current)), unowned);
  const { "f:status": _status, ...owned } = fields;
  return [newEntry({ ...options, manager: "before-first-apply" }, "Update", owned)];
}

function readEntries(object: JsonObject): ManagedEntry[] {
  const { metadata } = object;
  const entries = isObject(metadata) ? metadata["managedFields"] : undefined;
  if (!Array.isArray(entries)) return [];
  return (entries as unknown as ManagedEntry[]).filter((entry) => isObject(entry.fieldsV1));
}

function withEntries(object: JsonObject, entries: readonly ManagedEntry[]): JsonObject {
  const metadata = isObject(object["metadata"]) ? object["metadata"] : {};
  return { ...object, metadata: { ...metadata, managedFields: entries as unknown as Json } };
}

function newEntry(
  options: ApplyOptions,
  operation: ManagedEntry["operation"],
  fieldsV1: JsonObject,
): ManagedEntry {
  const { manager, apiVersion, now: time, subresource } = options;
  return {
    manager,
    operation,
    apiVersion,
    time,
    fieldsType: "FieldsV1",
    fieldsV1,
    ...(subresource !== undefined && { subresource }),
  };
}

function isMine(entry: ManagedEntry, options: ApplyOptions): boolean {
  return isSame(entry, options, "Apply");
}

function isSame(entry: ManagedEntry, options: ApplyOptions, operation: string): boolean {
  return (
    entry.manager === options.manager &&
    entry.operation === operation &&
    (entry.subresource ?? "") === (options.subresource ?? "")
  );
}

function without(set: JsonObject, paths: readonly (readonly string[])[]): JsonObject {
  return paths.reduce((rest, path) => subtract(rest, toSet(path)), set);
}

function toSet(path: readonly string[]): JsonObject {
  return path.reduceRight<JsonObject>((inner, step) => ({ [step]: inner }), {});
}
