import {
  userInfo,
  type Attributes,
  type Authenticator,
  type Authorizer,
  type User,
} from "#cloud/kube-api/auth";
import type { KindInfo } from "#cloud/kube-api/kinds";
import { refusals } from "#cloud/kube-api/status";
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
      return { ...base, status: accessStatus(parts, context.user, spec) };
    case "SubjectAccessReview":
      return { ...base, status: accessStatus(parts, namedUser(spec), spec) };
    case "LocalSubjectAccessReview": {
      const attributes = { ...asObject(spec["resourceAttributes"]), namespace: context.namespace };
      return {
        ...base,
        status: accessStatus(parts, namedUser(spec), { ...spec, resourceAttributes: attributes }),
      };
    }
    case "SelfSubjectRulesReview":
      return { ...base, status: rulesStatus(parts, context.user, asText(spec["namespace"])) };
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

function accessStatus(parts: ReviewParts, user: User, spec: JsonObject): JsonObject {
  const allowed = parts.authorizer.allows(user, attributesOf(spec));
  return { allowed, ...(!allowed && { denied: false }) };
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
  const path = spec["nonResourceAttributes"];
  if (!isObject(path)) {
    throw refusals.badRequest(
      "spec.resourceAttributes: exactly one of nonResourceAttributes or resourceAttributes must be specified",
    );
  }
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
  const found = parts.authenticator.userOf(asText(spec["token"]), textList(spec["audiences"]));
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
