import { undeclaredFields } from "#cloud/kube-api/custom-resources/cel";
import {
  builtinKinds,
  definition,
  definitionName,
  type FieldType,
  type KindInfo,
} from "#cloud/kube-api/schema";
import { childOf, itemsOf, textOf, textsOf, type JsonObject } from "#shared/json";
import { apiVersionOf } from "#shared/kube";
import { mostExpressions, policyNames } from "./validate-policy.ts";

/** Kinds that the expressions of one policy are checked for, as upstream. */
const mostKinds = 10;

/**
 * `status.typeChecking` of a policy: fields that its validations use although the builtin kinds that it is for do not have them
 * (apiserver/admission/plugin/policy/validating/typechecking.go). Values are not checked for their types, and custom kinds not at all.
 */
export function typeChecking(policy: JsonObject): JsonObject {
  const spec = childOf(policy, "spec") ?? {};
  const kinds = kindsOf(itemsOf(childOf(spec, "matchConstraints"), "resourceRules"));
  const names = policyNames(childOf(spec, "paramKind") !== undefined);
  const schemas = kinds.map((kind) => {
    const schema = schemaOf(definitionName(kind));
    return { object: schema, oldObject: schema };
  });
  const warningsOf = (text: string, fieldRef: string): JsonObject[] => {
    const warning = undeclaredFields(text, names, schemas).flatMap((problem, index) => {
      const kind = kinds[index];
      return problem === undefined || !kind
        ? []
        : [`${apiVersionOf(kind)}, Kind=${kind.kind}: ERROR: ${problem}\n`];
    });
    return warning.length === 0 ? [] : [{ fieldRef, warning: warning.join("") }];
  };
  const validations = itemsOf(spec, "validations").slice(0, mostExpressions);
  const expressionWarnings = validations.flatMap((validation, index) =>
    ["expression", "messageExpression"].flatMap((field) => {
      const text = textOf(validation, field);
      return text === "" ? [] : warningsOf(text, `spec.validations[${index}].${field}`);
    }),
  );
  return expressionWarnings.length === 0 ? {} : { expressionWarnings };
}

/** The builtin kinds that rules without wildcards name. */
function kindsOf(rules: readonly JsonObject[]): KindInfo[] {
  const isMeant = (rule: JsonObject, { group, version, plural }: KindInfo): boolean =>
    textsOf(rule, "apiGroups").includes(group) &&
    textsOf(rule, "apiVersions").includes(version) &&
    textsOf(rule, "resources").includes(plural);
  return builtinKinds()
    .filter((kind) => kind.stored && rules.some((rule) => isMeant(rule, kind)))
    .slice(0, mostKinds);
}

const known = new Map<string, JsonObject>();

/** A definition as a schema, in which those that contain themselves come back. */
function schemaOf(name: string): JsonObject {
  const found = known.get(name);
  if (found) return found;
  const properties: JsonObject = { apiVersion: {}, kind: {} };
  const schema: JsonObject = { properties };
  known.set(name, schema);
  for (const [field, type] of definition(name) ?? []) properties[field] = schemaOfField(type);
  return schema;
}

function schemaOfField({ shape, leaf, ref }: FieldType): JsonObject {
  const one = leaf === "#" ? schemaOf(ref) : {};
  if (shape === "list") return { items: one };
  return shape === "map" ? { additionalProperties: one } : one;
}
