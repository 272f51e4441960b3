import { compileExpression, dynamicValue, type Expression } from "#cloud/kube-api/custom-resources/cel";
import { labelSelectorOf } from "#cloud/kube-api/kinds/validation";
import type { KindInfo } from "#cloud/kube-api/schema";
import {
  childOf,
  isObject,
  itemsOf,
  metadataOf,
  numberOf,
  textMapOf,
  textOf,
  textsOf,
  type JsonObject,
} from "#shared/json";
import { matchesLabelSelector, type LabelSelector } from "#shared/kube";

/** A write as admission sees it, in the form that is stored. */
export interface AdmissionRequest {
  readonly kind: KindInfo;
  readonly namespace: string;
  readonly name: string;
  readonly operation: "CREATE" | "UPDATE" | "DELETE" | "CONNECT";
  /** "" for the object itself */
  readonly subresource: string;
  readonly object: JsonObject | undefined;
  readonly old: JsonObject | undefined;
  readonly dryRun: boolean;
  readonly author: JsonObject;
}

/** What rules, selectors and policies say about the requests they are for. */
export interface Matcher {
  readonly rules: readonly JsonObject[];
  readonly equivalent: boolean;
  readonly namespaces: LabelSelector;
  readonly objects: LabelSelector;
}

/** One webhook of a configuration. */
export interface Hook extends Matcher {
  readonly name: string;
  readonly client: JsonObject;
  readonly ignoresFailure: boolean;
  readonly timeoutMs: number;
  readonly reinvoked: boolean;
  readonly conditions: readonly Expression[];
}

export function readMatcher(match: JsonObject, rules: string): Matcher {
  return {
    rules: itemsOf(match, rules),
    equivalent: match["matchPolicy"] !== "Exact",
    namespaces: labelSelectorOf(childOf(match, "namespaceSelector")),
    objects: labelSelectorOf(childOf(match, "objectSelector")),
  };
}

const conditionVariables = ["object", "oldObject", "request"];

/** The webhooks of a configuration, which was validated. */
export function readHooks(configuration: JsonObject): Hook[] {
  return itemsOf(configuration, "webhooks").map((webhook) => ({
    ...readMatcher(webhook, "rules"),
    name: textOf(webhook, "name"),
    client: childOf(webhook, "clientConfig") ?? {},
    ignoresFailure: webhook["failurePolicy"] === "Ignore",
    timeoutMs: (numberOf(webhook, "timeoutSeconds") ?? 10) * 1000,
    reinvoked: webhook["reinvocationPolicy"] === "IfNeeded",
    conditions: itemsOf(webhook, "matchConditions").flatMap((condition) => {
      const compiled = compileExpression(textOf(condition, "expression"), conditionVariables);
      return typeof compiled === "string" ? [] : [compiled];
    }),
  }));
}

export interface MatchParts {
  /** All served versions of a kind, its own included. */
  readonly versionsOf: (kind: KindInfo) => readonly KindInfo[];
  readonly namespaceLabels: (namespace: string) => Readonly<Record<string, string>>;
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
  const found = versions.find((kind) => matcher.rules.some((rule) => isFor(rule, kind, request)));
  return found && selectsNamespace(matcher, request, parts) && selectsObject(matcher, request)
    ? found
    : undefined;
}

function isFor(rule: JsonObject, kind: KindInfo, { operation, subresource }: AdmissionRequest): boolean {
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
  return namespace === "" || matchesLabelSelector(matcher.namespaces, parts.namespaceLabels(namespace));
}

function selectsObject({ objects }: Matcher, { object, old }: AdmissionRequest): boolean {
  return [object, old].some((one) => one !== undefined && matchesLabelSelector(objects, labelsOf(one)));
}

function labelsOf(object: JsonObject | undefined): Record<string, string> {
  return textMapOf(isObject(object) ? metadataOf(object) : undefined, "labels");
}

/** The variables of expressions about a request. */
export function requestValues(request: AdmissionRequest): Record<string, unknown> {
  const { kind, namespace, name, operation, subresource, object, old, dryRun, author } = request;
  const { group, version } = kind;
  return {
    object: object ? dynamicValue(object) : null,
    oldObject: old ? dynamicValue(old) : null,
    request: {
      kind: { group, version, kind: kind.kind },
      resource: { group, version, resource: kind.plural },
      subResource: subresource,
      name,
      namespace,
      operation,
      dryRun,
      userInfo: author,
    },
  };
}
