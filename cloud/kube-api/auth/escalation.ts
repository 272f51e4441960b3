import { refusals } from "#cloud/kube-api/status";
import { asText, recordOf } from "#shared/json";
import type { KubeObject } from "#shared/kube";
import type { User } from "./authenticator.ts";
import type { Attributes, Authorizer, PolicyRule, RbacSource } from "./authorizer.ts";
import { describeRules, listed, missingRules } from "./rule-cover.ts";

/** A role or binding as it is to be stored. */
export interface Grant {
  readonly plural: (typeof plurals)[number];
  readonly namespace: string;
  /** the name in the URL, "" for a POST */
  readonly requestName: string;
  readonly next: KubeObject;
  readonly current: KubeObject | undefined;
}

const group = "rbac.authorization.k8s.io";
const plurals = ["roles", "clusterroles", "rolebindings", "clusterrolebindings"] as const;

/** Whether objects of a kind grant permissions. */
export function isGrant(kind: { readonly group: string; readonly plural: string }): kind is {
  readonly group: string;
  readonly plural: Grant["plural"];
} {
  return kind.group === group && plurals.some((plural) => plural === kind.plural);
}

const everything: readonly PolicyRule[] = [
  { verbs: ["*"], apiGroups: ["*"], resources: ["*"] },
  { verbs: ["*"], nonResourceURLs: ["*"] },
];

/** Missing permissions that a refusal lists. */
const mostDescribed = 1000;

/** Refuses roles and bindings that grant more than their author has, as `ConfirmNoEscalation` of kube-apiserver. */
export class EscalationGuard {
  readonly #authorizer: Authorizer;
  readonly #source: RbacSource;

  constructor(authorizer: Authorizer, source: RbacSource) {
    this.#authorizer = authorizer;
    this.#source = source;
  }

  /** @throws Refusal (Forbidden; NotFound for a binding to no role) */
  check(user: User, grant: Grant): void {
    if (user.groups.includes("system:masters")) return;
    if (grant.current && changesOnlyOwners(grant.next, grant.current)) return;
    if (grant.plural === "roles" || grant.plural === "clusterroles") this.#checkRole(user, grant);
    else this.#checkBinding(user, grant);
  }

  #checkRole(user: User, grant: Grant): void {
    const { plural, namespace, requestName, next, current } = grant;
    if (this.#may(user, { verb: "escalate", resource: plural, namespace, name: requestName })) return;
    this.#confirm(user, grant, rulesOf(next));
    if (!aggregates(next) && !aggregates(current)) return;
    if (missingRules(this.#authorizer.rulesOf(user, namespace), everything)?.length === 0) return;
    const why = "must have cluster-admin privileges to use an aggregationRule";
    throw refusals.forbidden({ group, plural }, nameOf(next), why);
  }

  #checkBinding(user: User, grant: Grant): void {
    const { namespace, next } = grant;
    const roleRef = recordOf(next["roleRef"]);
    const [kind, name] = [asText(roleRef["kind"]), asText(roleRef["name"])];
    const plural = kind === "Role" ? "roles" : "clusterroles";
    if (this.#may(user, { verb: "bind", resource: plural, namespace, name })) return;
    const rules = this.#source.rules(plural, plural === "roles" ? namespace : "", name);
    if (!rules) throw refusals.notFound({ group, plural }, name);
    this.#confirm(user, grant, rules);
  }

  #may(
    user: User,
    wanted: Pick<Extract<Attributes, { resource: string }>, "verb" | "resource" | "namespace" | "name">,
  ): boolean {
    return this.#authorizer.allows(user, { ...wanted, group, subresource: "" });
  }

  #confirm(user: User, grant: Grant, rules: readonly PolicyRule[]): void {
    const missing = missingRules(this.#authorizer.rulesOf(user, grant.namespace), rules);
    if (missing?.length === 0) return;
    if (!missing) throw refusals.badRequest("the rules hold too many permissions to be compared with yours");
    const who = `user ${JSON.stringify(user.name)} (groups=${listed(user.groups)})`;
    const why = `${who} is attempting to grant RBAC permissions not currently held:\n${describeRules(missing.slice(0, mostDescribed)).join("\n")}`;
    throw refusals.forbidden({ group, plural: grant.plural }, nameOf(grant.next), why);
  }
}

/** Changes of the garbage collector grant nothing. */
function changesOnlyOwners(next: KubeObject, current: KubeObject): boolean {
  return Bun.deepEquals(withoutOwners(next), withoutOwners(current));
}

function withoutOwners({ metadata, ...rest }: KubeObject): object {
  const {
    ownerReferences: _owners,
    finalizers: _finalizers,
    resourceVersion: _version,
    managedFields: _managed,
    ...kept
  } = metadata as KubeObject["metadata"] & { managedFields?: unknown };
  return { ...rest, metadata: kept };
}

function rulesOf(role: KubeObject): readonly PolicyRule[] {
  // Validated as a Role when it was admitted.
  return (role["rules"] ?? []) as readonly PolicyRule[];
}

function aggregates(role: KubeObject | undefined): boolean {
  return role?.["aggregationRule"] !== undefined && role["aggregationRule"] !== null;
}

function nameOf({ metadata }: KubeObject): string {
  return metadata.name ?? "";
}
