import {
  dns1035Label,
  dnsLabel,
  dnsSubdomain,
  duplicate,
  forbidden,
  invalid,
  notSupported,
  required,
  tooLong,
  tooMany,
  validateClient,
} from "#cloud/kube-api/kinds/validation";
import type { FieldError } from "#cloud/kube-api/schema";
import {
  childOf,
  isObject,
  itemsOf,
  ownField,
  textOf,
  textsOf,
  type Json,
  type JsonObject,
} from "#shared/json";
import { extensionProblems, hasLooseLists, looseListProblems } from "./list-extensions.ts";
import { ruleProblems } from "./rules.ts";
import { readPattern } from "#cloud/kube-api/custom-resources/patterns";

const columnTypes = ["boolean", "date", "integer", "number", "string"];
const schemaTypes = ["array", "boolean", "integer", "number", "object", "string"];
/** As upstream (MaxSelectableFields). */
const mostSelectable = 8;
const selectableTypes = ["string", "boolean", "integer"];
const wrongType =
  "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.";
/** Levels of a schema; the walks over schemas and values are recursive. */
const maxDepth = 100;
/** Characters of a printer column's path, which is parsed when a table is shown. */
const longestPath = 4096;

/**
 * Errors of a CustomResourceDefinition beyond its metadata, after apiextensions-apiserver/pkg/apis/apiextensions/validation.
 * Its schemas are structural: each is walked once, and what it may cost later (patterns) is paid from one budget.
 * @param old what is replaced
 */
export function validateCrd(crd: JsonObject, old?: JsonObject): FieldError[] {
  const spec = childOf(crd, "spec");
  const group = textOf(spec, "group");
  const plural = textOf(childOf(spec, "names"), "plural");
  const name = textOf(childOf(crd, "metadata"), "name");
  const errors: FieldError[] = [];
  if (name !== `${plural}.${group}`)
    errors.push(invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group'));
  if (group === "") errors.push(required("spec.group"));
  else {
    errors.push(...dnsSubdomain(group).map((text) => invalid("spec.group", group, text)));
    if (!group.includes("."))
      errors.push(invalid("spec.group", group, "should be a domain with at least one dot"));
  }
  const scope = textOf(spec, "scope");
  if (scope === "") errors.push(required("spec.scope"));
  else if (scope !== "Cluster" && scope !== "Namespaced")
    errors.push(notSupported("spec.scope", scope, ["Cluster", "Namespaced"]));
  if (spec?.preserveUnknownFields === true)
    errors.push(invalid("spec.preserveUnknownFields", true, "must be false"));
  return [
    ...errors,
    ...validateApproval(crd, group),
    ...validateNames(childOf(spec, "names")),
    ...validateConversion(childOf(spec, "conversion"), "spec.conversion"),
    ...validateVersions(spec, childOf(crd, "status"), old !== undefined && hasLooseLists(old)),
  ];
}

function validateApproval(crd: JsonObject, group: string): FieldError[] {
  if (!/(^|\.)(k8s|kubernetes)\.io$/.test(group)) return [];
  const annotations = childOf(childOf(crd, "metadata"), "annotations");
  return annotations?.["api-approved.kubernetes.io"] === undefined
    ? [
        required(
          "metadata.annotations[api-approved.kubernetes.io]",
          'protected groups must have approval annotation "api-approved.kubernetes.io", see https://github.com/kubernetes/enhancements/pull/1111',
        ),
      ]
    : [];
}

function validateConversion(conversion: JsonObject | undefined, path: string): FieldError[] {
  if (!conversion) return [];
  const strategy = textOf(conversion, "strategy");
  const webhook = childOf(conversion, "webhook");
  if (strategy !== "None" && strategy !== "Webhook")
    return strategy === ""
      ? [required(`${path}.strategy`)]
      : [notSupported(`${path}.strategy`, strategy, ["None", "Webhook"])];
  if (strategy === "None")
    return webhook
      ? [forbidden(`${path}.webhook`, "should not be set when strategy is not set to Webhook")]
      : [];
  if (!webhook) return [required(`${path}.webhook`, "required when strategy is set to Webhook")];
  const client = childOf(webhook, "clientConfig");
  const versions = textsOf(webhook, "conversionReviewVersions");
  return [
    ...(client
      ? validateClient(client, `${path}.webhook.clientConfig`)
      : [required(`${path}.webhook.clientConfig`, "required when strategy is set to Webhook")]),
    ...validateReviewVersions(versions, `${path}.webhook.conversionReviewVersions`),
  ];
}

function validateReviewVersions(versions: readonly string[], path: string): FieldError[] {
  if (versions.length === 0) return [required(path)];
  const isKnown = versions.some((version) => version === "v1" || version === "v1beta1");
  const errors = isKnown ? [] : [invalid(path, [...versions], "must include at least one of v1, v1beta1")];
  for (const [index, version] of versions.entries()) {
    errors.push(...dns1035Label(version).map((text) => invalid(`${path}[${index}]`, version, text)));
    if (versions.indexOf(version) !== index)
      errors.push(invalid(`${path}[${index}]`, version, "duplicate version"));
  }
  return errors;
}

function validateNames(names: JsonObject | undefined): FieldError[] {
  const errors: FieldError[] = [];
  for (const field of ["plural", "singular", "kind", "listKind"]) {
    const value = textOf(names, field);
    const path = `spec.names.${field}`;
    if (value === "") errors.push(required(path));
    else errors.push(...dns1035Label(value.toLowerCase()).map((text) => invalid(path, value, text)));
  }
  for (const [index, short] of textsOf(names, "shortNames").entries())
    errors.push(
      ...dns1035Label(short).map((text) => invalid(`spec.names.shortNames[${index}]`, short, text)),
    );
  if (textOf(names, "kind") !== "" && names?.kind === names?.listKind)
    errors.push(invalid("spec.names.listKind", names?.listKind, "kind and listKind may not be the same"));
  return errors;
}

function validateVersions(
  spec: JsonObject | undefined,
  status: JsonObject | undefined,
  looseLists: boolean,
): FieldError[] {
  const versions = itemsOf(spec, "versions");
  const patterns = { characters: mostPatternCharacters, states: mostPatternStates };
  const errors = versions.flatMap((version, index) =>
    validateVersion(version, `spec.versions[${index}]`, { patterns, looseLists }),
  );
  const storage = versions.filter((version) => version.storage === true).length;
  if (storage !== 1)
    errors.push(invalid("spec.versions", [], "must have exactly one version marked as storage version"));
  const names = versions.map((version) => textOf(version, "name"));
  for (const [index, stored] of textsOf(status, "storedVersions").entries())
    if (!names.includes(stored))
      errors.push(invalid(`status.storedVersions[${index}]`, stored, "must appear in spec.versions"));
  if (new Set(names).size !== names.length)
    errors.push(invalid("spec.versions", [], "must contain unique version names"));
  return errors;
}

function validateVersion(version: JsonObject, path: string, terms: Terms): FieldError[] {
  const name = textOf(version, "name");
  const schema = childOf(childOf(version, "schema"), "openAPIV3Schema");
  const errors = dnsLabel(name).map((text) => invalid(`${path}.name`, name, text));
  if (schema === undefined) errors.push(required(`${path}.schema.openAPIV3Schema`, "schemas are required"));
  else errors.push(...validateSchema(schema, `${path}.schema.openAPIV3Schema`, terms));
  for (const [index, column] of itemsOf(version, "additionalPrinterColumns").entries())
    errors.push(...validateColumn(column, `${path}.additionalPrinterColumns[${index}]`));
  errors.push(...validateSelectableFields(version, schema, `${path}.selectableFields`));
  return [
    ...errors,
    ...validateScale(childOf(childOf(version, "subresources"), "scale"), `${path}.subresources.scale`),
  ];
}

function validateColumn(column: JsonObject, path: string): FieldError[] {
  const type = textOf(column, "type");
  const errors: FieldError[] = [];
  if (textOf(column, "name") === "") errors.push(required(`${path}.name`));
  if (type === "") errors.push(required(`${path}.type`, `must be one of ${columnTypes.join(",")}`));
  else if (!columnTypes.includes(type))
    errors.push(invalid(`${path}.type`, type, `must be one of ${columnTypes.join(",")}`));
  const jsonPath = textOf(column, "jsonPath");
  if (jsonPath.length > longestPath) errors.push(tooLong(`${path}.jsonPath`, longestPath));
  if (jsonPath === "") errors.push(required(`${path}.jsonPath`));
  else if (!jsonPath.startsWith("."))
    errors.push(invalid(`${path}.jsonPath`, jsonPath, "must be a simple json path starting with ."));
  return errors;
}

/** Errors of `selectableFields`, after ValidateCustomResourceSelectableFields of apiextensions' validation.go. */
function validateSelectableFields(
  version: JsonObject,
  schema: JsonObject | undefined,
  path: string,
): FieldError[] {
  const errors: FieldError[] = [];
  const known = new Set<string>();
  for (const [index, field] of itemsOf(version, "selectableFields").entries()) {
    const jsonPath = textOf(field, "jsonPath");
    errors.push(...selectableProblems(jsonPath, { schema, path: `${path}[${index}].jsonPath`, known }));
  }
  if (known.size > mostSelectable) errors.push(tooMany(path, known.size, mostSelectable));
  return errors;
}

interface SelectablePlace {
  readonly schema: JsonObject | undefined;
  readonly path: string;
  /** Paths of the fields before. */
  readonly known: Set<string>;
}

function selectableProblems(jsonPath: string, { schema, path, known }: SelectablePlace): FieldError[] {
  if (jsonPath === "") return [required(path)];
  const found = schemaAt(jsonPath, schema);
  if (found === undefined)
    return [invalid(path, jsonPath, "is an invalid path: does not refer to a valid field")];
  const errors: FieldError[] = [];
  if (/^\.metadata(\.|$)/.test(jsonPath))
    errors.push(invalid(path, jsonPath, "must not point to fields in metadata"));
  if (!isObject(found) || !selectableTypes.includes(textOf(found, "type")))
    errors.push(invalid(path, jsonPath, wrongType));
  if (known.has(jsonPath)) errors.push(duplicate(path, jsonPath));
  known.add(jsonPath);
  return errors;
}

/** The schema of a field that `properties` declare at each step. Names in brackets are not allowed here. */
function schemaAt(jsonPath: string, schema: JsonObject | undefined): Json | undefined {
  if (!/^(\.[A-Za-z_$][\w$-]*)+$/.test(jsonPath)) return undefined;
  let at: Json | undefined = schema;
  for (const name of jsonPath.slice(1).split(".")) {
    const properties: Json | undefined = isObject(at) ? at["properties"] : undefined;
    at = isObject(properties) ? ownField(properties, name) : undefined;
  }
  return at;
}

function validateScale(scale: JsonObject | undefined, path: string): FieldError[] {
  if (scale === undefined) return [];
  return (["specReplicasPath", "statusReplicasPath"] as const).flatMap((field) => {
    const replicasPath = textOf(scale, field);
    const root = field === "specReplicasPath" ? ".spec." : ".status.";
    if (replicasPath === "") return [required(`${path}.${field}`)];
    return replicasPath.startsWith(root)
      ? []
      : [invalid(`${path}.${field}`, replicasPath, `should be a json path under ${root.slice(0, -1)}`)];
  });
}

/** The rules of structural schemas: every value has a type, forbidden fields are absent, patterns can be read. */
function validateSchema(schema: JsonObject, path: string, terms: Terms): FieldError[] {
  const { patterns } = terms;
  const errors: FieldError[] = [];
  if (schema.type !== "object" && schema["x-kubernetes-preserve-unknown-fields"] !== true)
    errors.push(typeProblem(schema, `${path}.type`, "must be object at the root"));
  walk(schema, { path, errors, depth: 0, root: true, ...terms });
  if (patterns.characters < 0 || patterns.states < 0) errors.push(forbidden(path, tooManyPatterns));
  return errors;
}

/** What holds for all schemas of a definition. */
interface Terms {
  readonly patterns: PatternBudget;
  /** Lists that are refused today are let through: the definition had such before. */
  readonly looseLists: boolean;
}

interface Walk extends Terms {
  readonly path: string;
  readonly errors: FieldError[];
  readonly depth: number;
  readonly root?: boolean;
  /** A list or map around it whose items have no earlier value. */
  readonly uncorrelatable?: string | undefined;
}

/** What the patterns of one definition may still cost to compile, which happens within a request. */
interface PatternBudget {
  characters: number;
  states: number;
}

/** About a second of compilation, which blocks other requests. */
const mostPatternCharacters = 100_000;
/** States of the automata, some hundred bytes each. */
const mostPatternStates = 50_000;
/** Unicode classes and case folding take ten times the work of other characters. */
const costlyPattern = /\\[pP]|\(\?[a-zA-Z]*i/;
const tooManyPatterns = "the patterns of the definition are too many or too large together";

function walk(schema: JsonObject, here: Walk): void {
  if (here.depth > maxDepth) {
    here.errors.push(forbidden(here.path, "schema is nested too deeply"));
    return;
  }
  checkShape(schema, here);
  const { properties, items, additionalProperties } = schema;
  const { errors, patterns, looseLists, uncorrelatable } = here;
  const below = { errors, patterns, looseLists, uncorrelatable, depth: here.depth + 1 };
  for (const [name, property] of Object.entries(isObject(properties) ? properties : {}))
    if (isObject(property)) walk(property, { ...below, path: `${here.path}.properties[${name}]` });
  const itemsBelow = { ...below, uncorrelatable: uncorrelatable ?? uncorrelatableAt(schema, here.path) };
  if (isObject(items)) walk(items, { ...itemsBelow, path: `${here.path}.items` });
  else if (Array.isArray(items))
    here.errors.push(forbidden(`${here.path}.items`, "items must be a schema object and not an array"));
  if (isObject(additionalProperties))
    walk(additionalProperties, { ...itemsBelow, path: `${here.path}.additionalProperties` });
}

/** The path of a list whose items have no keys, or of a map that changes as a whole. */
function uncorrelatableAt(schema: JsonObject, path: string): string | undefined {
  const isAtomicMap = schema["x-kubernetes-map-type"] === "atomic";
  const isPlainList = schema.items !== undefined && schema["x-kubernetes-list-type"] !== "map";
  return isAtomicMap || isPlainList ? path : undefined;
}

function checkShape(schema: JsonObject, here: Walk): void {
  const { path, errors, root } = here;
  const free =
    schema["x-kubernetes-int-or-string"] === true || schema["x-kubernetes-preserve-unknown-fields"] === true;
  const type = textOf(schema, "type");
  if (type === "") {
    if (!free && root !== true)
      errors.push(required(`${path}.type`, "must not be empty for specified object fields"));
  } else if (!schemaTypes.includes(type)) errors.push(notSupported(`${path}.type`, type, schemaTypes));
  if (type === "array" && schema.items === undefined)
    errors.push(required(`${path}.items`, "must be specified"));
  errors.push(
    ...refusedWords(schema, path),
    ...extensionProblems(schema, path),
    ...(here.looseLists ? [] : looseListProblems(schema, path)),
    ...ruleProblems(schema, { path, root: root === true, uncorrelatable: here.uncorrelatable }),
  );
  const pattern = textOf(schema, "pattern");
  if (pattern !== "") checkPattern(pattern, here);
}

const quadratic = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";

function checkPattern(pattern: string, { path, errors, patterns }: Walk): void {
  patterns.characters -= costlyPattern.test(pattern) ? 10 * pattern.length : pattern.length;
  if (patterns.characters < 0 || patterns.states < 0) return;
  const read = readPattern(pattern);
  if ("pattern" in read) patterns.states -= read.pattern.states;
  else {
    const problem = `must be a valid regular expression, but isn't: ${read.error}`;
    errors.push(invalid(`${path}.pattern`, pattern, problem));
  }
}

function refusedWords(schema: JsonObject, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (schema.properties !== undefined && schema.additionalProperties !== undefined)
    errors.push(
      forbidden(`${path}.additionalProperties`, "additionalProperties and properties are mutual exclusive"),
    );
  if (schema.uniqueItems === true) errors.push(forbidden(`${path}.uniqueItems`, quadratic));
  if (textOf(schema, "$ref") !== "") errors.push(forbidden(`${path}.$ref`, "$ref is not supported"));
  return errors;
}

function typeProblem(schema: JsonObject, path: string, text: string): FieldError {
  const { type } = schema;
  return type === undefined ? required(path, text) : invalid(path, type, text);
}
