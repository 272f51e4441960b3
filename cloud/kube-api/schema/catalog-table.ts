/** The builtin kinds that are served, as data, in the order of discovery; named as `kubectl api-resources` names them. */
export interface CatalogRow {
  readonly gv: string;
  readonly kind: string;
  readonly plural: string;
  readonly short?: readonly string[];
  readonly categories?: readonly string[];
  readonly cluster?: true;
  readonly listKind?: string;
  readonly sub?: readonly string[];
  /** The group version that objects of this kind are stored in. */
  readonly storedIn?: string;
  /** Not stored: these are the only verbs. */
  readonly virtual?: readonly string[];
}

const all = ["all"];
const create = ["create"];
/** Another module of cloudcore answers. */
const read = ["get", "list"];

export const catalogRows: readonly CatalogRow[] = [
  { gv: "v1", kind: "Binding", plural: "bindings", virtual: create },
  { gv: "v1", kind: "ConfigMap", plural: "configmaps", short: ["cm"] },
  { gv: "v1", kind: "Endpoints", plural: "endpoints", short: ["ep"], listKind: "EndpointsList" },
  { gv: "v1", kind: "Event", plural: "events", short: ["ev"] },
  { gv: "v1", kind: "LimitRange", plural: "limitranges", short: ["limits"] },
  {
    gv: "v1",
    kind: "Namespace",
    plural: "namespaces",
    short: ["ns"],
    cluster: true,
    sub: ["finalize", "status"],
  },
  { gv: "v1", kind: "Node", plural: "nodes", short: ["no"], cluster: true, sub: ["proxy", "status"] },
  {
    gv: "v1",
    kind: "PersistentVolumeClaim",
    plural: "persistentvolumeclaims",
    short: ["pvc"],
    sub: ["status"],
  },
  {
    gv: "v1",
    kind: "PersistentVolume",
    plural: "persistentvolumes",
    short: ["pv"],
    cluster: true,
    sub: ["status"],
  },
  {
    gv: "v1",
    kind: "Pod",
    plural: "pods",
    short: ["po"],
    categories: all,
    sub: [
      "attach",
      "binding",
      "ephemeralcontainers",
      "eviction",
      "exec",
      "log",
      "portforward",
      "proxy",
      "resize",
      "status",
    ],
  },
  { gv: "v1", kind: "PodTemplate", plural: "podtemplates" },
  {
    gv: "v1",
    kind: "ReplicationController",
    plural: "replicationcontrollers",
    short: ["rc"],
    categories: all,
    sub: ["scale", "status"],
  },
  { gv: "v1", kind: "ResourceQuota", plural: "resourcequotas", short: ["quota"], sub: ["status"] },
  { gv: "v1", kind: "Secret", plural: "secrets" },
  { gv: "v1", kind: "ServiceAccount", plural: "serviceaccounts", short: ["sa"], sub: ["token"] },
  {
    gv: "v1",
    kind: "Service",
    plural: "services",
    short: ["svc"],
    categories: all,
    sub: ["proxy", "status"],
  },
  { gv: "apps/v1", kind: "ControllerRevision", plural: "controllerrevisions" },
  { gv: "apps/v1", kind: "DaemonSet", plural: "daemonsets", short: ["ds"], categories: all, sub: ["status"] },
  {
    gv: "apps/v1",
    kind: "Deployment",
    plural: "deployments",
    short: ["deploy"],
    categories: all,
    sub: ["scale", "status"],
  },
  {
    gv: "apps/v1",
    kind: "ReplicaSet",
    plural: "replicasets",
    short: ["rs"],
    categories: all,
    sub: ["scale", "status"],
  },
  {
    gv: "apps/v1",
    kind: "StatefulSet",
    plural: "statefulsets",
    short: ["sts"],
    categories: all,
    sub: ["scale", "status"],
  },
  {
    gv: "autoscaling/v2",
    kind: "HorizontalPodAutoscaler",
    plural: "horizontalpodautoscalers",
    short: ["hpa"],
    categories: all,
    sub: ["status"],
  },
  {
    gv: "autoscaling/v1",
    storedIn: "autoscaling/v2",
    kind: "HorizontalPodAutoscaler",
    plural: "horizontalpodautoscalers",
    short: ["hpa"],
    categories: all,
    sub: ["status"],
  },
  { gv: "batch/v1", kind: "CronJob", plural: "cronjobs", short: ["cj"], categories: all, sub: ["status"] },
  { gv: "batch/v1", kind: "Job", plural: "jobs", categories: all, sub: ["status"] },
  {
    gv: "certificates.k8s.io/v1",
    kind: "CertificateSigningRequest",
    plural: "certificatesigningrequests",
    short: ["csr"],
    cluster: true,
    sub: ["approval", "status"],
  },
  { gv: "coordination.k8s.io/v1", kind: "Lease", plural: "leases" },
  { gv: "discovery.k8s.io/v1", kind: "EndpointSlice", plural: "endpointslices" },
  { gv: "events.k8s.io/v1", kind: "Event", plural: "events", short: ["ev"], storedIn: "v1" },
  {
    gv: "flowcontrol.apiserver.k8s.io/v1",
    kind: "FlowSchema",
    plural: "flowschemas",
    cluster: true,
    sub: ["status"],
  },
  {
    gv: "flowcontrol.apiserver.k8s.io/v1",
    kind: "PriorityLevelConfiguration",
    plural: "prioritylevelconfigurations",
    cluster: true,
    sub: ["status"],
  },
  {
    gv: "metrics.k8s.io/v1beta1",
    kind: "NodeMetrics",
    plural: "nodes",
    cluster: true,
    virtual: read,
  },
  { gv: "metrics.k8s.io/v1beta1", kind: "PodMetrics", plural: "pods", virtual: read },
  { gv: "networking.k8s.io/v1", kind: "IngressClass", plural: "ingressclasses", cluster: true },
  { gv: "networking.k8s.io/v1", kind: "Ingress", plural: "ingresses", short: ["ing"], sub: ["status"] },
  { gv: "networking.k8s.io/v1", kind: "NetworkPolicy", plural: "networkpolicies", short: ["netpol"] },
  { gv: "node.k8s.io/v1", kind: "RuntimeClass", plural: "runtimeclasses", cluster: true },
  {
    gv: "policy/v1",
    kind: "PodDisruptionBudget",
    plural: "poddisruptionbudgets",
    short: ["pdb"],
    sub: ["status"],
  },
  {
    gv: "rbac.authorization.k8s.io/v1",
    kind: "ClusterRoleBinding",
    plural: "clusterrolebindings",
    cluster: true,
  },
  { gv: "rbac.authorization.k8s.io/v1", kind: "ClusterRole", plural: "clusterroles", cluster: true },
  { gv: "rbac.authorization.k8s.io/v1", kind: "RoleBinding", plural: "rolebindings" },
  { gv: "rbac.authorization.k8s.io/v1", kind: "Role", plural: "roles" },
  {
    gv: "scheduling.k8s.io/v1",
    kind: "PriorityClass",
    plural: "priorityclasses",
    short: ["pc"],
    cluster: true,
  },
  { gv: "storage.k8s.io/v1", kind: "CSIDriver", plural: "csidrivers", cluster: true },
  { gv: "storage.k8s.io/v1", kind: "CSINode", plural: "csinodes", cluster: true },
  { gv: "storage.k8s.io/v1", kind: "CSIStorageCapacity", plural: "csistoragecapacities" },
  { gv: "storage.k8s.io/v1", kind: "StorageClass", plural: "storageclasses", short: ["sc"], cluster: true },
  {
    gv: "storage.k8s.io/v1",
    kind: "VolumeAttachment",
    plural: "volumeattachments",
    cluster: true,
    sub: ["status"],
  },
  {
    gv: "apiregistration.k8s.io/v1",
    kind: "APIService",
    plural: "apiservices",
    cluster: true,
    categories: ["api-extensions"],
    sub: ["status"],
  },
  {
    gv: "admissionregistration.k8s.io/v1",
    kind: "MutatingWebhookConfiguration",
    plural: "mutatingwebhookconfigurations",
    categories: ["api-extensions"],
    cluster: true,
  },
  {
    gv: "admissionregistration.k8s.io/v1",
    kind: "ValidatingAdmissionPolicy",
    plural: "validatingadmissionpolicies",
    categories: ["api-extensions"],
    cluster: true,
    sub: ["status"],
  },
  {
    gv: "admissionregistration.k8s.io/v1",
    kind: "ValidatingAdmissionPolicyBinding",
    plural: "validatingadmissionpolicybindings",
    categories: ["api-extensions"],
    cluster: true,
  },
  {
    gv: "admissionregistration.k8s.io/v1",
    kind: "ValidatingWebhookConfiguration",
    plural: "validatingwebhookconfigurations",
    categories: ["api-extensions"],
    cluster: true,
  },
  {
    gv: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    plural: "customresourcedefinitions",
    short: ["crd", "crds"],
    categories: ["api-extensions"],
    cluster: true,
    sub: ["status"],
  },
  {
    gv: "authentication.k8s.io/v1",
    kind: "TokenReview",
    plural: "tokenreviews",
    cluster: true,
    virtual: create,
  },
  {
    gv: "authentication.k8s.io/v1",
    kind: "SelfSubjectReview",
    plural: "selfsubjectreviews",
    cluster: true,
    virtual: create,
  },
  {
    gv: "authorization.k8s.io/v1",
    kind: "LocalSubjectAccessReview",
    plural: "localsubjectaccessreviews",
    virtual: create,
  },
  {
    gv: "authorization.k8s.io/v1",
    kind: "SelfSubjectAccessReview",
    plural: "selfsubjectaccessreviews",
    cluster: true,
    virtual: create,
  },
  {
    gv: "authorization.k8s.io/v1",
    kind: "SelfSubjectRulesReview",
    plural: "selfsubjectrulesreviews",
    cluster: true,
    virtual: create,
  },
  {
    gv: "authorization.k8s.io/v1",
    kind: "SubjectAccessReview",
    plural: "subjectaccessreviews",
    cluster: true,
    virtual: create,
  },
];

/** The definition of a row's kind: `core.v1.Pod`, `rbac.v1.Role`. */
export function definitionOfRow({ gv, kind }: CatalogRow): string {
  const [group = "", version] = gv.includes("/") ? gv.split("/") : ["core", gv];
  return `${group.split(".")[0]}.${version}.${kind}`;
}
