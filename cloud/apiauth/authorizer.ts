import type { KubeObject } from "#shared/kube";
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

interface Subject {
  readonly kind: string;
  readonly name: string;
  readonly namespace?: string;
}

interface Binding extends KubeObject {
  readonly subjects?: readonly Subject[];
  readonly roleRef: { readonly kind: string; readonly name: string };
}

/** The stored roles and bindings. */
export interface RbacSource {
  list(plural: "clusterrolebindings" | "rolebindings", namespace: string): readonly KubeObject[];
  role(plural: "clusterroles" | "roles", namespace: string, name: string): KubeObject | undefined;
}

const reviews = ["selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"];
const discovery = ["/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*", "/version", "/version/"];
const health = ["/healthz", "/livez", "/readyz", "/version", "/version/"];

/** What everybody may do, as the roles system:basic-user, system:discovery and system:public-info-viewer say. */
const basicRules: readonly PolicyRule[] = [
  {
    verbs: ["create"],
    apiGroups: ["authorization.k8s.io", "authentication.k8s.io"],
    resources: reviews,
  },
  { verbs: ["get"], nonResourceURLs: [...discovery, ...health] },
];
const publicRules: readonly PolicyRule[] = [{ verbs: ["get"], nonResourceURLs: health }];
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
    const known = user.groups.includes("system:authenticated");
    return [
      ...(known ? basicRules : publicRules),
      ...this.#boundRules(user, "clusterrolebindings", ""),
      ...(namespace === "" ? [] : this.#boundRules(user, "rolebindings", namespace)),
    ];
  }

  #boundRules(user: User, plural: "clusterrolebindings" | "rolebindings", namespace: string): PolicyRule[] {
    return (this.#source.list(plural, namespace) as readonly Binding[])
      .filter((binding) => (binding.subjects ?? []).some((subject) => isSubject(subject, user, namespace)))
      .flatMap(({ roleRef }) => {
        const inCluster = roleRef.kind === "ClusterRole";
        const role = this.#source.role(
          inCluster ? "clusterroles" : "roles",
          inCluster ? "" : namespace,
          roleRef.name,
        );
        return (role?.["rules"] ?? []) as PolicyRule[];
      });
  }
}

function isSubject(subject: Subject, user: User, namespace: string): boolean {
  if (subject.kind === "User") return subject.name === user.name;
  if (subject.kind === "Group") return user.groups.includes(subject.name);
  const inside = subject.namespace ?? namespace;
  return subject.kind === "ServiceAccount" && user.name === `system:serviceaccount:${inside}:${subject.name}`;
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
