import { fieldsV1Of, shapeOf, type KindInfo } from "#cloud/kube-api/schema";
import { refusals } from "#cloud/kube-api/status";
import { childOf, cloneJson, isObject, textOf, tryJson, type Json, type JsonObject } from "#shared/json";
import {
  common,
  differ,
  isLeaf,
  leaves,
  leavesWhere,
  lostItems,
  namedBy,
  reconcileLists,
  removeLeaves,
  spellPath,
  subtract,
  uniteAll,
  type ManagedEntry,
} from "./managed-fields.ts";
import { structuredMerge } from "./structured-merge.ts";

export interface ApplyOptions {
  readonly manager: string;
  readonly force: boolean;
  readonly apiVersion: string;
  readonly now: string;
  readonly subresource?: string;
  readonly kind: KindInfo;
  /** Fields of other versions are not those of this one, since a webhook converts: their managers keep them. */
  readonly ownVersionOnly?: boolean;
}

/** Fields that no manager owns, as `stripSet` upstream. */
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
 * Server-side apply (KEP-555; structured-merge-diff/merge/update.go): the fields of `applied` become those of this manager.
 * Fields that it applied before and omits now are removed when no other manager owns them. Ownership decides on removal only;
 * values come from the merge.
 * @throws Refusal (Conflict) when another manager owns a field with another value and `force` is off
 */
export function serverSideApply(
  current: JsonObject | undefined,
  applied: JsonObject,
  options: ApplyOptions,
): JsonObject {
  const config = cloneJson(applied);
  const fields = ownedFields(config, options);
  const before = current === undefined ? [] : entriesOf(current, options);
  const mine = before.find((entry) => isMine(entry, options));
  const [others, foreign] = byVersion(
    before.filter((entry) => entry !== mine),
    options,
  );
  const merged =
    current === undefined ? config : structuredMerge(shapeOf(options.kind), cloneJson(current), config);
  const conflicts = current === undefined ? [] : findConflicts(current, { merged, fields }, others);
  if (conflicts.length > 0 && !options.force) throw refusals.applyConflict(conflicts.flatMap(toCauses));
  const lost = uniteAll(conflicts.map((conflict) => conflict.fields));
  const kept = withoutFields(others, lost);
  const dropped = subtract(mine && isComparable(mine, options) ? mine.fieldsV1 : {}, fields);
  const ofOthers = uniteAll(kept.map((entry) => entry.fieldsV1));
  removeLeaves(merged, lostItems(dropped, uniteAll([fields, ofOthers])));
  removeLeaves(merged, subtract(dropped, ofOthers));
  return withEntries(merged, [newEntry(options, "Apply", fields), ...kept, ...foreign]);
}

/** Updates `managedFields` after an ordinary write; objects that were never applied do not track fields. */
export function trackUpdate(current: JsonObject, next: JsonObject, options: ApplyOptions): JsonObject {
  const entries = readEntries(current);
  if (!entries.some((entry) => entry.operation === "Apply")) return next;
  const before = ownedFields(current, options);
  const after = ownedFields(next, options);
  const changed = leavesWhere(after, [current, next], differ);
  const gone = subtract(before, after);
  if (isLeaf(changed) && isLeaf(gone)) return withEntries(next, entries);
  const mine = entries.find((entry) => isSame(entry, options, "Update"));
  const [others, foreign] = byVersion(
    entries.filter((entry) => entry !== mine),
    options,
  );
  const rest = [...withoutFields(others, uniteAll([changed, gone])), ...foreign];
  const tracked = uniteAll([subtract(mine?.fieldsV1 ?? {}, gone), changed]);
  return withEntries(
    next,
    isLeaf(tracked) ? rest : capUpdates([...rest, newEntry(options, "Update", tracked)]),
  );
}

/** Entries whose fields are those of this version, and the others. */
function byVersion(
  entries: readonly ManagedEntry[],
  options: ApplyOptions,
): [ManagedEntry[], ManagedEntry[]] {
  const own = entries.filter((entry) => isComparable(entry, options));
  return [own, entries.filter((entry) => !own.includes(entry))];
}

function isComparable({ apiVersion }: ManagedEntry, options: ApplyOptions): boolean {
  return options.ownVersionOnly !== true || apiVersion === options.apiVersion;
}

/** As upstream (DefaultMaxUpdateManagers): a client that updates under ever new names must not fill an object with them. */
const mostUpdateManagers = 10;

/** The oldest managers by updates become one, "ancient-changes", for each version and subresource. */
function capUpdates(entries: readonly ManagedEntry[]): ManagedEntry[] {
  const updates = entries.filter(({ operation }) => operation === "Update");
  if (updates.length <= mostUpdateManagers) return [...entries];
  const byAge = updates.toSorted((a, b) => Number(a.time > b.time) - Number(a.time < b.time));
  const ancient = new Set(byAge.slice(0, updates.length - mostUpdateManagers + 1));
  const groups = Map.groupBy(ancient, ({ apiVersion, subresource = "" }) => `${apiVersion} ${subresource}`);
  const merged = [...groups.values()].flatMap((group) => {
    const newest = group.at(-1);
    const fieldsV1 = uniteAll(group.map((entry) => entry.fieldsV1));
    return newest ? [{ ...newest, manager: "ancient-changes", fieldsV1 }] : [];
  });
  return [...entries.filter((entry) => !ancient.has(entry)), ...merged];
}

function withoutFields(entries: readonly ManagedEntry[], fields: JsonObject): ManagedEntry[] {
  if (isLeaf(fields)) return [...entries];
  return entries
    .map((entry) => ({ ...entry, fieldsV1: subtract(entry.fieldsV1, fields) }))
    .filter((entry) => !isLeaf(entry.fieldsV1));
}

interface Conflict {
  readonly owner: ManagedEntry;
  readonly fields: JsonObject;
}

function findConflicts(
  current: JsonObject,
  applied: { merged: JsonObject; fields: JsonObject },
  others: readonly ManagedEntry[],
): Conflict[] {
  const changed = leavesWhere(applied.fields, [current, applied.merged], differ);
  return others
    .map((owner) => ({ owner, fields: common(owner.fieldsV1, changed) }))
    .filter(({ fields }) => !isLeaf(fields));
}

/** Fields of a manager that a conflict lists. */
const mostCauses = 100;

function toCauses({ owner, fields }: Conflict): { reason: string; message: string; field: string }[] {
  const using = owner.operation === "Update" ? ` using ${owner.apiVersion}` : "";
  const message = `conflict with "${owner.manager}"${using}`;
  const paths = leaves(fields).slice(0, mostCauses);
  return paths.map((path) => ({
    reason: "FieldManagerConflict",
    message,
    field: spellPath(path),
  }));
}

/** The fields of an object that somebody may own. */
function ownedFields(object: JsonObject, { kind }: ApplyOptions): JsonObject {
  return subtract(fieldsV1Of(kind, object), unowned);
}

/**
 * The current managers. Fields of an object that was never applied belong to "before-first-apply", as upstream, but for those
 * that kubectl applied by itself: it goes on with these, and leaves what the API and controllers have set.
 */
function entriesOf(current: JsonObject, options: ApplyOptions): ManagedEntry[] {
  const entries = readEntries(current);
  const fields = ownedFields(current, options);
  if (entries.length > 0)
    return entries.map((entry) =>
      isComparable(entry, options) ? { ...entry, fieldsV1: reconcileLists(entry.fieldsV1, fields) } : entry,
    );
  const { "f:status": _status, ...owned } = fields;
  const byKubectl = namedBy(lastAppliedFields(current, options), owned);
  const parts = [
    { manager: "kubectl-client-side-apply", fieldsV1: byKubectl },
    { manager: "before-first-apply", fieldsV1: subtract(owned, byKubectl) },
  ];
  return parts
    .filter(({ fieldsV1 }) => !isLeaf(fieldsV1))
    .map(({ manager, fieldsV1 }) => newEntry({ ...options, manager }, "Update", fieldsV1));
}

const lastApplied = "kubectl.kubernetes.io/last-applied-configuration";

/** The fields that kubectl has noted in an annotation, and the annotation. It may be anybody's text. */
function lastAppliedFields(current: JsonObject, options: ApplyOptions): JsonObject {
  const text = textOf(childOf(childOf(current, "metadata"), "annotations"), lastApplied);
  const config = tryJson(text);
  if (!isObject(config)) return {};
  const annotation = { "f:metadata": { "f:annotations": { [`f:${lastApplied}`]: {} } } };
  return uniteAll([ownedFields(config, options), annotation]);
}

const managersPath = "/metadata/managedFields";

/**
 * An object as a JSON patch of its managers finds it: one that was never applied by the server tracks none, and gets those that an
 * apply would find. So kubectl moves what it has applied itself to server-side apply, also in a dry run.
 */
export function withFoundManagers(current: JsonObject, patch: Json, options: ApplyOptions): JsonObject {
  const isAboutManagers = (step: Json): boolean =>
    isObject(step) && textOf(step, "path").startsWith(managersPath);
  if (readEntries(current).length > 0 || !Array.isArray(patch) || !patch.some(isAboutManagers))
    return current;
  return withEntries(current, entriesOf(current, options));
}

function readEntries(object: JsonObject): ManagedEntry[] {
  const { metadata } = object;
  const entries = isObject(metadata) ? metadata["managedFields"] : undefined;
  if (!Array.isArray(entries)) return [];
  return entries.filter(isManagedEntry);
}

/** Clients can write anything into managedFields; entries without a set of fields are dropped. */
function isManagedEntry(entry: Json): entry is ManagedEntry & JsonObject {
  return isObject(entry) && isObject(entry["fieldsV1"]);
}

function withEntries(object: JsonObject, entries: readonly ManagedEntry[]): JsonObject {
  const metadata = isObject(object["metadata"]) ? object["metadata"] : {};
  return {
    ...object,
    metadata: {
      ...metadata,
      managedFields: entries.map((entry) => ({ ...entry })),
    },
  };
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
    (entry.subresource ?? "") === (options.subresource ?? "") &&
    (operation === "Apply" || isComparable(entry, options))
  );
}
