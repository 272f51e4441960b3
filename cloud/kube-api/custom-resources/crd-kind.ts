import {
  storedVerbs,
  type ConversionWebhook,
  type CustomKind,
  type KindInfo,
  type PrinterColumn,
  type SubresourceInfo,
} from "#cloud/kube-api/schema";
import { childOf, cloneJson, itemsOf, textOf, textsOf, type Json, type JsonObject } from "#shared/json";

/** The kinds of a definition, one for each served version, by priority of the version. */
export function kindsOfCrd(crd: JsonObject): KindInfo[] {
  const spec = childOf(crd, "spec");
  const versions = itemsOf(spec, "versions");
  const storage = versions.find((version) => version.storage === true);
  const served = versions.filter((version) => version.served === true);
  const ordered = served.toSorted((a, b) => compareApiVersions(textOf(a, "name"), textOf(b, "name")));
  const schemas = new Map(versions.map((version) => [textOf(version, "name"), schemaOf(version)]));
  const shared = { crd, schemas, conversion: conversionOf(crd), storageVersion: textOf(storage, "name") };
  return ordered.map((version) => toKind({ ...shared, version }));
}

function schemaOf(version: JsonObject): JsonObject {
  return childOf(childOf(version, "schema"), "openAPIV3Schema") ?? { type: "object" };
}

function conversionOf(crd: JsonObject): ConversionWebhook | undefined {
  const conversion = childOf(childOf(crd, "spec"), "conversion");
  if (conversion?.["strategy"] !== "Webhook") return undefined;
  const webhook = childOf(conversion, "webhook");
  const { uid, generation } = childOf(crd, "metadata") ?? {};
  return {
    id: JSON.stringify([uid, generation]),
    client: childOf(webhook, "clientConfig") ?? {},
    reviewVersions: textsOf(webhook, "conversionReviewVersions"),
  };
}

interface Source {
  readonly crd: JsonObject;
  readonly version: JsonObject;
  readonly storageVersion: string;
  readonly schemas: ReadonlyMap<string, JsonObject>;
  readonly conversion: ConversionWebhook | undefined;
}

function toKind(source: Source): KindInfo {
  const { crd, version } = source;
  const spec = childOf(crd, "spec");
  const names = childOf(spec, "names");
  const kind = textOf(names, "kind");
  const group = textOf(spec, "group");
  const custom = toCustom(source);
  return {
    group,
    version: textOf(version, "name"),
    kind,
    listKind: textOf(names, "listKind") || `${kind}List`,
    plural: textOf(names, "plural"),
    singular: textOf(names, "singular") || kind.toLowerCase(),
    shortNames: textsOf(names, "shortNames"),
    categories: textsOf(names, "categories"),
    namespaced: textOf(spec, "scope") === "Namespaced",
    verbs: storedVerbs,
    subresources: subresourcesOf(custom, { group, version: textOf(version, "name"), kind }),
    stored: true,
    custom,
  };
}

function toCustom({ crd, version, storageVersion, schemas, conversion }: Source): CustomKind {
  const subresources = childOf(version, "subresources");
  const scale = childOf(subresources, "scale");
  const labelSelectorPath = textOf(scale, "labelSelectorPath");
  const deprecated = version.deprecated === true;
  const spec = childOf(crd, "spec");
  const name = textOf(version, "name");
  const warning =
    textOf(version, "deprecationWarning") ||
    `${textOf(spec, "group")}/${name} ${textOf(childOf(spec, "names"), "kind")} is deprecated`;
  return {
    crdName: textOf(childOf(crd, "metadata"), "name"),
    storageVersion,
    schema: schemaOf(version),
    schemas,
    ...(conversion && { conversion }),
    preserveUnknownFields: spec?.preserveUnknownFields === true,
    columns: itemsOf(version, "additionalPrinterColumns").map(toColumn),
    selectable: selectableFieldsOf(version),
    status: subresources?.status !== undefined,
    ...(scale === undefined
      ? {}
      : {
          scale: {
            specReplicasPath: textOf(scale, "specReplicasPath"),
            statusReplicasPath: textOf(scale, "statusReplicasPath"),
            ...(labelSelectorPath === "" ? {} : { labelSelectorPath }),
          },
        }),
    ...(deprecated ? { deprecationWarning: warning } : {}),
  };
}

/** Fields that objects of a version are selected by (`selectableFields`), as field selectors name them: `spec.size`. */
function selectableFieldsOf(version: JsonObject): string[] {
  return itemsOf(version, "selectableFields").map((field) => textOf(field, "jsonPath").replace(/^\./, ""));
}

function toColumn(column: JsonObject): PrinterColumn {
  return {
    name: textOf(column, "name"),
    type: textOf(column, "type"),
    format: textOf(column, "format"),
    description: textOf(column, "description"),
    priority: typeof column.priority === "number" ? column.priority : 0,
    jsonPath: textOf(column, "jsonPath"),
  };
}

function subresourcesOf(
  custom: CustomKind,
  owner: Omit<SubresourceInfo, "name" | "verbs">,
): SubresourceInfo[] {
  const verbs = ["get", "patch", "update"];
  const scale = { name: "scale", group: "autoscaling", version: "v1", kind: "Scale", verbs };
  return [
    ...(custom.status ? [{ name: "status", ...owner, verbs }] : []),
    ...(custom.scale === undefined ? [] : [scale]),
  ];
}

/** Orders versions by priority, as `CompareKubeAwareVersionStrings`: v2, v1, v1beta2, v1beta1, v1alpha1, then others by name. */
export function compareApiVersions(a: string, b: string): number {
  const [left, right] = [weightOf(a), weightOf(b)];
  if (left === undefined || right === undefined) {
    if (left === right) return a < b ? -1 : Number(a > b);
    return left === undefined ? 1 : -1;
  }
  for (const [index, weight] of left.entries()) {
    const other = right[index] ?? 0;
    if (weight !== other) return other - weight;
  }
  return 0;
}

function weightOf(version: string): number[] | undefined {
  const match = /^v(\d+)(?:(alpha|beta)(\d+))?$/.exec(version);
  if (match === null) return undefined;
  const stage = { alpha: 1, beta: 2 }[match[2] ?? ""] ?? 3;
  return [stage, Number(match[1]), Number(match[3] ?? 0)];
}

/** The definition with its status, as upstream's naming controller sets it; `taken` are the other kinds of the same group. */
export function establishCrd(crd: JsonObject, taken: readonly KindInfo[], now: string): JsonObject {
  const spec = childOf(crd, "spec");
  const names = childOf(spec, "names") ?? {};
  const conflict = conflictOf(names, taken);
  const before = childOf(crd, "status");
  const stored = textsOf(before, "storedVersions");
  const storage = textOf(
    itemsOf(spec, "versions").find((version) => version.storage === true),
    "name",
  );
  if (storage !== "" && !stored.includes(storage)) stored.push(storage);
  const accepted = conflict === undefined;
  const established = accepted || conditionIs(before, "Established");
  const conditions = [
    condition("NamesAccepted", accepted, accepted ? ["NoConflicts", "no conflicts found"] : conflict),
    condition(
      "Established",
      established,
      established
        ? ["InitialNamesAccepted", "the initial names have been accepted"]
        : ["NotAccepted", "not all names are accepted"],
    ),
  ].map((one) => keepTime(one, before, now));
  const own = new Set<Json>(conditions.map((one) => one.type ?? ""));
  const others = itemsOf(before, "conditions").filter((one) => !own.has(one.type ?? ""));
  const acceptedNames = accepted ? cloneJson(names) : (before?.acceptedNames ?? { plural: "", kind: "" });
  return {
    ...crd,
    status: { conditions: [...conditions, ...others], acceptedNames, storedVersions: stored },
  };
}

function condition(type: string, holds: boolean, [reason, message]: readonly string[]): JsonObject {
  return { type, status: holds ? "True" : "False", reason: reason ?? "", message: message ?? "" };
}

function keepTime(one: JsonObject, before: JsonObject | undefined, now: string): JsonObject {
  const old = itemsOf(before, "conditions").find((known) => known.type === one.type);
  const since = old?.status === one.status ? textOf(old, "lastTransitionTime") : "";
  return {
    type: one.type ?? "",
    status: one.status ?? "",
    lastTransitionTime: since || now,
    reason: one.reason ?? "",
    message: one.message ?? "",
  };
}

function conditionIs(status: JsonObject | undefined, type: string): boolean {
  return itemsOf(status, "conditions").some((one) => one.type === type && one.status === "True");
}

function conflictOf(names: JsonObject, taken: readonly KindInfo[]): [string, string] | undefined {
  const words = new Set(taken.flatMap((kind) => [kind.plural, kind.singular, ...kind.shortNames]));
  const plural = textOf(names, "plural");
  if (words.has(plural)) return ["PluralConflict", `${JSON.stringify(plural)} is already in use`];
  const singular = textOf(names, "singular");
  if (words.has(singular)) return ["SingularConflict", `${JSON.stringify(singular)} is already in use`];
  const short = textsOf(names, "shortNames").find((name) => words.has(name));
  if (short !== undefined) return ["ShortNamesConflict", `${JSON.stringify(short)} is already in use`];
  const kinds = new Set(taken.flatMap((kind) => [kind.kind, kind.listKind]));
  for (const [field, reason] of [
    ["kind", "KindConflict"],
    ["listKind", "ListKindConflict"],
  ] as const) {
    const word = textOf(names, field);
    if (kinds.has(word)) return [reason, `${JSON.stringify(word)} is already in use`];
  }
  return undefined;
}
