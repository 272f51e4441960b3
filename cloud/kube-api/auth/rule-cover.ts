import type { PolicyRule } from "./authorizer.ts";

/** Comparisons for one request, some tenths of a second; a small role can hold billions of permissions. */
const mostComparisons = 2_000_000;

/**
 * Permissions of `wanted` that `held` does not cover, one by one, as `validation.Covers` of component-helpers/auth/rbac.
 * Undefined when there is too much to compare.
 */
export function missingRules(
  held: readonly PolicyRule[],
  wanted: readonly PolicyRule[],
): PolicyRule[] | undefined {
  const owners = held.map(prepare);
  const open = wanted.filter((rule) => !owners.some((owner) => coversAll(owner, rule)));
  const count = open.reduce((sum, rule) => sum + permissionsOf(rule), 0);
  if (count * owners.length > mostComparisons) return undefined;
  return open.flatMap(breakDown).filter((one) => !owners.some((owner) => coversAll(owner, one)));
}

/** As the API server spells them: rules of one resource joined, then `{APIGroups:[""], Resources:["pods"], Verbs:["get"]}`. */
export function describeRules(rules: readonly PolicyRule[]): string[] {
  return [...new Set(compact(rules).map(describe))].toSorted();
}

interface Prepared {
  readonly verbs: ReadonlySet<string>;
  readonly apiGroups: ReadonlySet<string>;
  readonly resources: ReadonlySet<string>;
  readonly resourceNames: ReadonlySet<string>;
  readonly urls: readonly string[];
}

function prepare(rule: PolicyRule): Prepared {
  return {
    verbs: new Set(rule.verbs),
    apiGroups: new Set(rule.apiGroups),
    resources: new Set(rule.resources),
    resourceNames: new Set(rule.resourceNames),
    urls: rule.nonResourceURLs ?? [],
  };
}

function permissionsOf({
  verbs,
  apiGroups = [],
  resources = [],
  resourceNames = [],
  nonResourceURLs = [],
}: PolicyRule): number {
  const named = apiGroups.length * resources.length * Math.max(1, resourceNames.length);
  return verbs.length * (named + nonResourceURLs.length);
}

/** Rules of one verb, one group, one resource and one name, or of one verb and one URL. */
function breakDown(rule: PolicyRule): PolicyRule[] {
  const { verbs, apiGroups = [], resources = [], resourceNames = [], nonResourceURLs = [] } = rule;
  const names = resourceNames.length > 0 ? resourceNames.map((name) => ({ resourceNames: [name] })) : [{}];
  const things = apiGroups.flatMap((group) =>
    resources.flatMap((resource) =>
      names.map((name) => ({ apiGroups: [group], resources: [resource], ...name })),
    ),
  );
  const urls = nonResourceURLs.map((url) => ({ nonResourceURLs: [url] }));
  return verbs.flatMap((verb) => [...things, ...urls].map((thing) => ({ ...thing, verbs: [verb] })));
}

/** Whether one held rule covers every permission of the other. */
function coversAll(owner: Prepared, wanted: PolicyRule): boolean {
  const { verbs, apiGroups = [], resources = [], resourceNames = [], nonResourceURLs = [] } = wanted;
  return (
    verbs.every((verb) => hasOrAll(owner.verbs, verb)) &&
    apiGroups.every((group) => hasOrAll(owner.apiGroups, group)) &&
    resources.every((resource) => coversResource(owner.resources, resource)) &&
    nonResourceURLs.every((url) => owner.urls.some((held) => coversUrl(held, url))) &&
    (resources.length === 0 || coversNames(owner.resourceNames, resourceNames))
  );
}

function hasOrAll(held: ReadonlySet<string>, wanted: string): boolean {
  return held.has("*") || held.has(wanted);
}

function coversResource(held: ReadonlySet<string>, wanted: string): boolean {
  if (hasOrAll(held, wanted)) return true;
  const slash = wanted.indexOf("/");
  return slash >= 0 && held.has(`*/${wanted.slice(slash + 1)}`);
}

function coversNames(held: ReadonlySet<string>, wanted: readonly string[]): boolean {
  return held.size === 0 || (wanted.length > 0 && wanted.every((name) => held.has(name)));
}

function coversUrl(held: string, wanted: string): boolean {
  return held === wanted || (held.endsWith("*") && wanted.startsWith(withoutStars(held)));
}

/** Without an expression, which is slow on many stars that do not end the text. */
function withoutStars(url: string): string {
  let end = url.length;
  while (url[end - 1] === "*") end -= 1;
  return url.slice(0, end);
}

/** Joins the verbs of rules that are alike otherwise. */
function compact(rules: readonly PolicyRule[]): PolicyRule[] {
  const joined = new Map<string, PolicyRule>();
  for (const { verbs, ...rest } of rules) {
    const key = JSON.stringify(rest);
    const known = joined.get(key);
    joined.set(key, { ...rest, verbs: [...(known?.verbs ?? []), ...verbs] });
  }
  return [...joined.values()];
}

function describe(rule: PolicyRule): string {
  const parts = [
    ["APIGroups", rule.apiGroups],
    ["Resources", rule.resources],
    ["NonResourceURLs", rule.nonResourceURLs],
    ["ResourceNames", rule.resourceNames],
    ["Verbs", rule.verbs],
  ] as const;
  const given = parts.filter(([, values]) => values !== undefined && values.length > 0);
  return `{${given.map(([name, values]) => `${name}:${listed(values ?? [])}`).join(", ")}}`;
}

/** A list as Go prints it. */
export function listed(texts: readonly string[]): string {
  return `[${texts.map((text) => JSON.stringify(text)).join(" ")}]`;
}
