import {
  userInfo,
  type Attributes,
  type Authenticator,
  type Authorizer,
  type User,
} from "#cloud/kube-api/auth";
import type { KindInfo } from "#cloud/kube-api/kinds";
import type { FieldError } from "#cloud/kube-api/schema";
import { invalidStatus, Refusal, refusals } from "#cloud/kube-api/status";
import { rfc3339 } from "#shared/clock";
import { asText, isObject, type Json, type JsonObject } from "#shared/json";

export interface ReviewParts {
  readonly authenticator: Authenticator;
  readonly authorizer: Authorizer;
  readonly nowMs: () => number;
}

/** Answers kinds that are not stored: access, subject and token reviews. @throws Refusal */
export function review(
  parts: ReviewParts,
  kind: KindInfo,
  body: JsonObject,
  context: { readonly user: User; readonly namespace: string },
): JsonObject {
  const spec = isObject(body["spec"]) ? body["spec"] : {};
  const base: JsonObject = { ...body, metadata: { creationTimestamp: null, ...asObject(body["metadata"]) } };
  switch (kind.kind) {
    case "SelfSubjectAccessReview":
      checkSpec(kind, attributeProblems(spec));
      return { ...base, status: accessStatus(parts, context.user, spec) };
    case "SubjectAccessReview":
      checkSpec(kind, [...attributeProblems(spec), ...userProblems(spec)]);
      return { ...base, status: accessStatus(parts, namedUser(spec), spec) };
    case "LocalSubjectAccessReview": {
      const { namespace } = context;
      checkNamespace(asObject(body["metadata"]), namespace);
      checkSpec(kind, [...attributeProblems(spec), ...userProblems(spec), ...localProblems(spec, namespace)]);
      return { ...base, status: accessStatus(parts, namedUser(spec), spec) };
    }
    case "SelfSubjectRulesReview": {
      const namespace = asText(spec["namespace"]);
      if (namespace === "") throw refusals.badRequest("no namespace on request");
      return { ...base, status: rulesStatus(parts, context.user, namespace) };
    }
    case "SelfSubjectReview": {
      const metadata = { creationTimestamp: rfc3339(parts.nowMs()) };
      return { ...base, metadata, status: { userInfo: userInfo(context.user) } };
    }
    case "TokenReview":
      return { ...base, status: tokenStatus(parts, spec) };
    default:
      throw refusals.methodNotAllowed();
  }
}

/** @throws Refusal (Invalid); upstream names no kind, since its internal objects have none */
function checkSpec({ group, version }: KindInfo, problems: readonly FieldError[]): void {
  if (problems.length > 0) throw new Refusal(invalidStatus({ group, version, kind: "" }, "", problems));
}

/** @param value as Go prints it */
function problem(field: string, value: string, text: string): FieldError {
  return {
    reason: "FieldValueInvalid",
    field: `spec.${field}`,
    message: `Invalid value: ${value}: ${text}`,
  };
}

/** @throws Refusal (BadRequest) */
function checkNamespace(metadata: JsonObject, namespace: string): void {
  if (!["", namespace].includes(asText(metadata["namespace"])))
    throw refusals.badRequest(
      "the namespace of the provided object does not match the namespace sent on the request",
    );
}

function attributeProblems(spec: JsonObject): FieldError[] {
  const { resourceAttributes: resource, nonResourceAttributes: path } = spec;
  if (isObject(resource) && isObject(path)) {
    const text = "cannot be specified in combination with resourceAttributes";
    return [problem("nonResourceAttributes", spellPath(path), text)];
  }
  if (isObject(resource) || isObject(path)) return [];
  const text = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
  return [problem("resourceAttributes", '"null"', text)];
}

function userProblems(spec: JsonObject): FieldError[] {
  const { name, groups } = namedUser(spec);
  if (name !== "" || groups.length > 0) return [];
  return [problem("user", '""', "at least one of user or group must be specified")];
}

/** Who may ask about one namespace gets no answer for another. */
function localProblems(spec: JsonObject, namespace: string): FieldError[] {
  const { resourceAttributes: resource, nonResourceAttributes: path } = spec;
  const asked = isObject(resource) ? asText(resource["namespace"]) : namespace;
  return [
    ...(asked === namespace
      ? []
      : [problem("resourceAttributes.namespace", JSON.stringify(asked), "must match metadata.namespace")]),
    ...(isObject(path)
      ? [problem("nonResourceAttributes", spellPath(path), "disallowed on this kind of request")]
      : []),
  ];
}

/** As Go prints the value. */
function spellPath(attributes: JsonObject): string {
  const [path, verb] = ["path", "verb"].map((name) => JSON.stringify(asText(attributes[name])));
  return `authorization.NonResourceAttributes{Path:${path}, Verb:${verb}}`;
}

function accessStatus(parts: ReviewParts, user: User, spec: JsonObject): JsonObject {
  return { allowed: parts.authorizer.allows(user, attributesOf(spec)) };
}

function attributesOf(spec: JsonObject): Attributes {
  const resource = spec["resourceAttributes"];
  if (isObject(resource)) {
    return {
      verb: asText(resource["verb"]),
      group: asText(resource["group"]),
      resource: asText(resource["resource"]),
      subresource: asText(resource["subresource"]),
      namespace: asText(resource["namespace"]),
      name: asText(resource["name"]),
    };
  }
  const path = asObject(spec["nonResourceAttributes"]);
  return { verb: asText(path["verb"]), path: asText(path["path"]) };
}

function rulesStatus(parts: ReviewParts, user: User, namespace: string): JsonObject {
  const rules = parts.authorizer.rulesOf(user, namespace);
  const resourceRules = rules
    .filter((rule) => rule.nonResourceURLs === undefined)
    .map((rule) => ({
      verbs: [...rule.verbs],
      apiGroups: [...(rule.apiGroups ?? [])],
      resources: [...(rule.resources ?? [])],
      ...(rule.resourceNames && { resourceNames: [...rule.resourceNames] }),
    }));
  const nonResourceRules = rules
    .filter((rule) => rule.nonResourceURLs !== undefined)
    .map((rule) => ({ verbs: [...rule.verbs], nonResourceURLs: [...(rule.nonResourceURLs ?? [])] }));
  return { resourceRules, nonResourceRules, incomplete: false };
}

function tokenStatus(parts: ReviewParts, spec: JsonObject): JsonObject {
  const token = asText(spec["token"]);
  if (token === "") throw refusals.badRequest("token is required for TokenReview in authentication");
  const found = parts.authenticator.userOf(token, textList(spec["audiences"]));
  if (!found) return { user: {}, error: "[invalid bearer token, token lookup failed]" };
  return { authenticated: true, user: userInfo(found.user), audiences: [...found.audiences] };
}

function namedUser(spec: JsonObject): User {
  return { name: asText(spec["user"]), groups: textList(spec["groups"]) };
}

function asObject(value: Json | undefined): JsonObject {
  return isObject(value) ? value : {};
}

function textList(value: Json | undefined): string[] {
  return Array.isArray(value) ? value.map(asText) : [];
}
