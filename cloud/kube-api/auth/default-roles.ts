import type { KubeObject } from "#shared/kube";
import type { PolicyRule } from "./authorizer.ts";

/** The roles and bindings that every cluster has, by the names and with the rules users know. */

interface Subject {
  readonly kind: string;
  readonly apiGroup?: string;
  readonly name: string;
}

const group = "rbac.authorization.k8s.io";
const apiVersion = `${group}/v1`;
const ours = { "kubernetes.io/bootstrapping": "rbac-defaults" };
const autoupdate = "rbac.authorization.kubernetes.io/autoupdate";
const aggregateTo = (role: string): Record<string, string> => ({ [`${group}/aggregate-to-${role}`]: "true" });

const read = ["get", "list", "watch"];
const write = ["create", "delete", "deletecollection", "patch", "update"];

function on(apiGroup: string, verbs: readonly string[], resources: string): PolicyRule {
  return { verbs, apiGroups: [apiGroup], resources: resources.split(" ") };
}

function get(urls: string): PolicyRule {
  return { verbs: ["get"], nonResourceURLs: urls.split(" ") };
}

const apps =
  "daemonsets deployments deployments/scale replicasets replicasets/scale statefulsets statefulsets/scale";

/** Gives no way to further permissions: no Secrets, no roles, no tokens. */
const view: readonly PolicyRule[] = [
  on(
    "",
    read,
    "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods replicationcontrollers replicationcontrollers/scale serviceaccounts services services/status",
  ),
  on(
    "",
    read,
    "bindings events limitranges namespaces/status pods/log pods/status replicationcontrollers/status resourcequotas resourcequotas/status",
  ),
  on("", read, "namespaces"),
  on("discovery.k8s.io", read, "endpointslices"),
  on(
    "apps",
    read,
    `controllerrevisions ${apps} daemonsets/status deployments/status replicasets/status statefulsets/status`,
  ),
  on("autoscaling", read, "horizontalpodautoscalers horizontalpodautoscalers/status"),
  on("batch", read, "cronjobs cronjobs/status jobs jobs/status"),
  on("policy", read, "poddisruptionbudgets poddisruptionbudgets/status"),
  on("networking.k8s.io", read, "ingresses ingresses/status networkpolicies"),
];

const edit: readonly PolicyRule[] = [
  on("", read, "pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy"),
  on("", ["impersonate"], "serviceaccounts"),
  on("", write, "pods pods/attach pods/exec pods/portforward pods/proxy"),
  on("", ["create"], "pods/eviction"),
  on(
    "",
    write,
    "configmaps events persistentvolumeclaims replicationcontrollers replicationcontrollers/scale secrets serviceaccounts services services/proxy",
  ),
  on("", ["create"], "serviceaccounts/token"),
  on("apps", write, `${apps} deployments/rollback`),
  on("autoscaling", write, "horizontalpodautoscalers"),
  on("batch", write, "cronjobs jobs"),
  on("policy", write, "poddisruptionbudgets"),
  on("networking.k8s.io", write, "ingresses networkpolicies"),
  on("coordination.k8s.io", [...read, ...write], "leases"),
];

const admin: readonly PolicyRule[] = [
  on("authorization.k8s.io", ["create"], "localsubjectaccessreviews"),
  on(group, [...read, ...write], "rolebindings roles"),
];

const everything: readonly PolicyRule[] = [on("*", ["*"], "*"), { verbs: ["*"], nonResourceURLs: ["*"] }];
const basic: readonly PolicyRule[] = [
  on("authorization.k8s.io", ["create"], "selfsubjectaccessreviews selfsubjectrulesreviews"),
  on("authentication.k8s.io", ["create"], "selfsubjectreviews"),
];
const discovery = [
  get("/api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/"),
];
/** Public keys: what verifies the tokens of service accounts. */
const issuer = [get("/.well-known/openid-configuration /openid/v1/jwks")];
const publicInfo = [get("/healthz /livez /readyz /version /version/")];

/** Usage of nodes and pods: `kubectl top` for everybody who may view. */
const metrics = [on("metrics.k8s.io", read, "nodes pods")];

/** May have certificates of a signer issued: for users who hand them out, bound to nobody. */
function approver(signer: string): PolicyRule {
  return {
    verbs: ["approve"],
    apiGroups: ["certificates.k8s.io"],
    resources: ["signers"],
    resourceNames: [`kubernetes.io/${signer}`],
  };
}

const signers = [
  "kube-apiserver-client",
  "kube-apiserver-client-kubelet",
  "kubelet-serving",
  "legacy-unknown",
];

/** What an aggregated server asks this API: who somebody is, and what that one may. */
const delegator = [
  on("authentication.k8s.io", ["create"], "tokenreviews"),
  on("authorization.k8s.io", ["create"], "subjectaccessreviews"),
];

const monitoring = [get("/healthz /healthz/* /livez /livez/* /metrics /readyz /readyz/*")];

const masters = "system:masters";
const known = "system:authenticated";
const unknown = "system:unauthenticated";

export const defaultGrants: readonly KubeObject[] = [
  role("cluster-admin", everything),
  role("system:discovery", discovery),
  role("system:basic-user", basic),
  role("system:public-info-viewer", publicInfo),
  role("system:service-account-issuer-discovery", issuer),
  role("system:monitoring", monitoring),
  role("system:auth-delegator", delegator),
  role("system:aggregate-to-view", view, aggregateTo("view")),
  role("system:aggregate-to-edit", edit, aggregateTo("edit")),
  role("system:aggregate-to-admin", admin, aggregateTo("admin")),
  role("system:aggregated-metrics-reader", metrics, {
    ...aggregateTo("view"),
    ...aggregateTo("edit"),
    ...aggregateTo("admin"),
  }),
  ...signers.map((signer) => role(`system:certificates.k8s.io:${signer}-approver`, [approver(signer)])),
  sumOf("view", aggregateTo("edit")),
  sumOf("edit", aggregateTo("admin")),
  sumOf("admin"),
  binding("cluster-admin", [masters]),
  binding("system:discovery", [known]),
  binding("system:monitoring", ["system:monitoring"]),
  binding("system:basic-user", [known]),
  binding("system:public-info-viewer", [known, unknown]),
  binding("system:service-account-issuer-discovery", ["system:serviceaccounts"]),
];

/**
 * What is to be stored of a default role or binding; undefined: nothing. Rules and subjects that were removed are added
 * again, added ones stay, as upstream's reconciliation. An object of this name without our label is not ours, and one with the
 * annotation `autoupdate: "false"` is left alone.
 */
export function reconcileDefault(
  wanted: KubeObject,
  stored: KubeObject | undefined,
): KubeObject | "not ours" | undefined {
  if (!stored) return wanted;
  const { labels = {}, annotations = {} } = stored.metadata;
  if (annotations[autoupdate] === "false") return undefined;
  if (!Object.entries(ours).every(([key, value]) => labels[key] === value)) return "not ours";
  // Its rules are those of the roles that it aggregates.
  const field = wanted.kind === "ClusterRoleBinding" ? "subjects" : "rules";
  if (wanted["aggregationRule"] !== undefined) return undefined;
  const has = listOf(stored[field]);
  const missing = listOf(wanted[field]).filter((one) => !has.some((other) => Bun.deepEquals(one, other)));
  return missing.length === 0 ? undefined : { ...wanted, [field]: [...has, ...missing] };
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function role(
  name: string,
  rules: readonly PolicyRule[],
  labels: Readonly<Record<string, string>> = {},
): KubeObject {
  return { apiVersion, kind: "ClusterRole", metadata: metadataOf(name, labels), rules };
}

/** A role whose rules are those of all that have its label; a controller keeps them. */
function sumOf(name: string, labels: Readonly<Record<string, string>> = {}): KubeObject {
  const aggregationRule = { clusterRoleSelectors: [{ matchLabels: aggregateTo(name) }] };
  return { ...role(name, [], labels), aggregationRule };
}

function binding(name: string, groups: readonly string[]): KubeObject {
  const subjects = groups.map((one): Subject => ({ kind: "Group", apiGroup: group, name: one }));
  const roleRef = { apiGroup: group, kind: "ClusterRole", name };
  return { apiVersion, kind: "ClusterRoleBinding", metadata: metadataOf(name, {}), roleRef, subjects };
}

function metadataOf(name: string, labels: Readonly<Record<string, string>>): KubeObject["metadata"] {
  return { name, labels: { ...ours, ...labels }, annotations: { [autoupdate]: "true" } };
}
