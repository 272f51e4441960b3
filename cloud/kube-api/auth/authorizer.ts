import type { User } from "./authenticator.ts";

/** What a request wants: a resource, or a path that is none. */
export type Attributes =
  | {
      readonly verb: string;
      readonly group: string;
      readonly resource: string;
      readonly subresource: string;
      readonly namespace: string;
      readonly name: string;
    }
  | { readonly verb: string; readonly path: string };

export interface PolicyRule {
  readonly verbs: readonly string[];
  readonly apiGroups?: readonly string[];
  readonly resources?: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly nonResourceURLs?: readonly string[];
}

export interface RoleRef {
  readonly kind: string;
  readonly name: string;
}

/** The stored roles and bindings; the namespace is "" for those of the cluster. */
export interface RbacSource {
  /** What bindings give to a user. */
  bound(user: User, namespace: string): readonly RoleRef[];
  /** Undefined when there is no such role. */
  rules(plural: "clusterroles" | "roles", namespace: string, name: string): readonly PolicyRule[] | undefined;
}

const masterRules: readonly PolicyRule[] = [
  { verbs: ["*"], apiGroups: ["*"], resources: ["*"] },
  { verbs: ["*"], nonResourceURLs: ["*"] },
];

/** Role based access control: allowed if any rule of any binding of the user allows it. */
export class Authorizer {
  readonly #source: RbacSource;

  constructor(source: RbacSource) {
    this.#source = source;
  }

  allows(user: User, wanted: Attributes): boolean {
    if (user.groups.includes("system:masters")) return true;
    const namespace = "path" in wanted ? "" : wanted.namespace;
    return this.rulesOf(user, namespace).some((rule) => covers(rule, wanted));
  }

  /** Every rule that holds for a user in a namespace ("" for cluster-wide ones only). */
  rulesOf(user: User, namespace: string): PolicyRule[] {
    if (user.groups.includes("system:masters")) return [...masterRules];
    return [...this.#boundRules(user, ""), ...(namespace === "" ? [] : this.#boundRules(user, namespace))];
  }

  #boundRules(user: User, namespace: string): PolicyRule[] {
    return this.#source
      .bound(user, namespace)
      .flatMap(({ kind, name }) =>
        kind === "ClusterRole"
          ? (this.#source.rules("clusterroles", "", name) ?? [])
          : (this.#source.rules("roles", namespace, name) ?? []),
      );
  }
}

function covers(rule: PolicyRule, wanted: Attributes): boolean {
  if (!has(rule.verbs, wanted.verb)) return false;
  if ("path" in wanted)
    return (rule.nonResourceURLs ?? []).some((pattern) => matchesPath(pattern, wanted.path));
  if (!has(rule.apiGroups, wanted.group)) return false;
  const { resource, subresource } = wanted;
  const names = subresource === "" ? [resource] : [`${resource}/${subresource}`, `*/${subresource}`];
  if (!names.some((name) => has(rule.resources, name))) return false;
  const { resourceNames = [] } = rule;
  return resourceNames.length === 0 || (wanted.name !== "" && resourceNames.includes(wanted.name));
}

function has(list: readonly string[] | undefined, value: string): boolean {
  return list !== undefined && (list.includes("*") || list.includes(value));
}

function matchesPath(pattern: string, path: string): boolean {
  return pattern === path || (pattern.endsWith("*") && path.startsWith(pattern.slice(0, -1)));
}
