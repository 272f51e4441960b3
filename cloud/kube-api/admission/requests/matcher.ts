import { labelSelectorOf } from "#cloud/kube-api/kinds/validation";
import { parseObject, type KindInfo } from "#cloud/kube-api/schema";
import type { RevisionStore } from "#cloud/kube-api/store";
import {
  childOf,
  isObject,
  itemsOf,
  metadataOf,
  textMapOf,
  textOf,
  textsOf,
  type JsonObject,
} from "#shared/json";
import { matchesLabelSelector, type LabelSelector } from "#shared/kube";
import type { AdmissionRequest } from "./request.ts";

/** What rules, selectors and policies say about the requests they are for. */
export interface Matcher {
  /** Undefined: they are for all requests. */
  readonly rules: readonly JsonObject[] | undefined;
  readonly excluded: readonly JsonObject[];
  readonly equivalent: boolean;
  readonly namespaces: LabelSelector;
  readonly objects: LabelSelector;
}

/** @param rules the field with the rules */
export function readMatcher(match: JsonObject, rules: "rules" | "resourceRules"): Matcher {
  return {
    rules: itemsOf(match, rules),
    excluded: itemsOf(match, "excludeResourceRules"),
    equivalent: match["matchPolicy"] !== "Exact",
    namespaces: labelSelectorOf(childOf(match, "namespaceSelector")),
    objects: labelSelectorOf(childOf(match, "objectSelector")),
  };
}

export interface MatchParts {
  readonly store: RevisionStore;
  /** All served versions of a kind, its own included. */
  readonly versionsOf: (kind: KindInfo) => readonly KindInfo[];
}

/** The version of the kind in which a request is sent to who has these rules; undefined: it is not for them. */
export function matchedVersion(
  matcher: Matcher,
  request: AdmissionRequest,
  parts: MatchParts,
): KindInfo | undefined {
  const versions = matcher.equivalent
    ? [request.kind, ...parts.versionsOf(request.kind).filter((kind) => kind !== request.kind)]
    : [request.kind];
  const { rules, excluded } = matcher;
  if (excluded.some((rule) => versions.some((kind) => isFor(rule, kind, request)))) return undefined;
  const found = rules
    ? versions.find((kind) => rules.some((rule) => isFor(rule, kind, request)))
    : request.kind;
  return found && selectsNamespace(matcher, request, parts) && selectsObject(matcher, request)
    ? found
    : undefined;
}

function isFor(
  rule: JsonObject,
  kind: KindInfo,
  { operation, subresource, name }: AdmissionRequest,
): boolean {
  const names = textsOf(rule, "resourceNames");
  if (names.length > 0 && !names.includes(name)) return false;
  const has = (field: string, value: string): boolean => {
    const values = textsOf(rule, field);
    return values.includes("*") || values.includes(value);
  };
  const scope = textOf(rule, "scope");
  const scoped = scope === "" || scope === "*" || (scope === "Namespaced") === kind.namespaced;
  return (
    scoped &&
    has("operations", operation) &&
    has("apiGroups", kind.group) &&
    has("apiVersions", kind.version) &&
    textsOf(rule, "resources").some((resource) => isResource(resource, kind.plural, subresource))
  );
}

function isResource(pattern: string, plural: string, subresource: string): boolean {
  const [resource = "", sub = ""] = pattern.split("/", 2);
  if (pattern === "*/*") return true;
  const named = resource === "*" || resource === plural;
  return named && (sub === subresource || (sub === "*" && pattern.includes("/")));
}

/** Objects without a namespace are selected; a namespace by its own labels. */
function selectsNamespace(matcher: Matcher, request: AdmissionRequest, parts: MatchParts): boolean {
  const { kind, object, old, namespace } = request;
  if (kind.group === "" && kind.kind === "Namespace")
    return matchesLabelSelector(matcher.namespaces, labelsOf(object ?? old));
  if (namespace === "") return true;
  const text = parts.store.get("/namespaces", `/${namespace}`);
  const labels = text === undefined ? {} : labelsOf(parseObject(text));
  return matchesLabelSelector(matcher.namespaces, labels);
}

function selectsObject({ objects }: Matcher, { object, old }: AdmissionRequest): boolean {
  return [object, old].some((one) => one !== undefined && matchesLabelSelector(objects, labelsOf(one)));
}

function labelsOf(object: JsonObject | undefined): Record<string, string> {
  return textMapOf(isObject(object) ? metadataOf(object) : undefined, "labels");
}
