import { AppError } from "#shared/errors";
import type { KubeObject, Status } from "#shared/kube";

/** Which collection of the API a call is about. */
export interface ResourceType {
  /** "" for the core group */
  readonly group: string;
  readonly version: string;
  /** lower-case plural as in URLs, e.g. "pods" */
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
}

/** A response of the API that is not a success. `reason` is metav1.Status.reason, e.g. "NotFound", "Conflict". */
export class KubeError extends AppError {
  readonly httpStatus: number;
  readonly reason: string;
  readonly status: Status | undefined;

  constructor(httpStatus: number, reason: string, message: string, status?: Status) {
    super(`kube-${reason.toLowerCase()}`, message);
    this.httpStatus = httpStatus;
    this.reason = reason;
    this.status = status;
  }
}

/** Whether the API server answered with one of these HTTP status codes. */
export function isKubeError(error: unknown, ...httpStatuses: readonly number[]): error is KubeError {
  return error instanceof KubeError && httpStatuses.includes(error.httpStatus);
}

/** Waits for a call; undefined when the API answers 404, or one of the other status codes to be ignored. */
export async function ignoreMissing<T>(
  call: Promise<T>,
  ...alsoIgnored: readonly number[]
): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (isKubeError(error, 404, ...alsoIgnored)) return undefined;
    throw error;
  }
}

export interface KubeCallOptions {
  readonly signal?: AbortSignal | undefined;
}

export interface ListOptions extends KubeCallOptions {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
}

export interface PatchOptions extends KubeCallOptions {
  readonly type: "strategic" | "merge" | "json";
  readonly subresource?: string;
}

export interface RemoveOptions extends KubeCallOptions {
  readonly uid?: string;
  readonly graceSeconds?: number;
  readonly propagation?: "Background" | "Foreground" | "Orphan";
}

export interface ObjectAt {
  readonly name: string;
  /** absent for cluster-scoped types */
  readonly namespace?: string;
}

/** Where an object is, for another call about it. */
export function objectAt({ metadata: { name = "", namespace } }: KubeObject): ObjectAt {
  return namespace === undefined ? { name } : { name, namespace };
}

export interface KubeList<T> {
  readonly items: T[];
  readonly resourceVersion: string;
}

/**
 * The Kubernetes API, real or embedded. Calls reject with KubeError when the server refuses them and with
 * UnavailableError when it does not answer; every call has a time limit and may be repeated by the caller.
 */
export interface KubeClient extends AsyncDisposable {
  /** @throws KubeError with httpStatus 404 */
  get<T extends KubeObject>(
    type: ResourceType,
    target: ObjectAt,
    options?: KubeCallOptions & {
      readonly subresource?: string;
      readonly query?: Readonly<Record<string, string>>;
    },
  ): Promise<T>;
  /** As `get`, undefined instead of 404. */
  find<T extends KubeObject>(
    type: ResourceType,
    target: ObjectAt,
    options?: KubeCallOptions,
  ): Promise<T | undefined>;
  /** All items (pages are followed); items carry apiVersion and kind. */
  list<T extends KubeObject>(type: ResourceType, options?: ListOptions): Promise<KubeList<T>>;
  create<T extends KubeObject>(type: ResourceType, object: T, options?: KubeCallOptions): Promise<T>;
  /** PUT; a resourceVersion in the object makes it conditional. */
  replace<T extends KubeObject>(
    type: ResourceType,
    object: T,
    options?: KubeCallOptions & { readonly subresource?: string },
  ): Promise<T>;
  patch<T extends KubeObject>(
    type: ResourceType,
    target: ObjectAt,
    patch: unknown,
    options: PatchOptions,
  ): Promise<T>;
  /** DELETE; 404 rejects like any other failure. */
  remove(type: ResourceType, target: ObjectAt, options?: RemoveOptions): Promise<void>;
  /** POST to a subresource, e.g. "binding", "token", "eviction". */
  createSubresource<T extends KubeObject>(
    type: ResourceType,
    target: ObjectAt,
    subresource: string,
    body: KubeObject,
  ): Promise<T>;
  /** Starts a list and watch of a collection. */
  informer<T extends KubeObject>(type: ResourceType, options?: Omit<ListOptions, "signal">): Informer<T>;
}

/**
 * A local copy of a collection, kept up to date by list and watch through 410, dropped connections and restarts of the API
 * server, without missing a change: after a gap the differences are reported. Handlers run in order of resourceVersion for
 * each object, those that watch longer first; the copy is updated before a handler runs. An error of a handler is logged.
 * Objects come without managedFields, and are shared by all readers: nobody changes them.
 */
export interface Informer<T extends KubeObject> extends AsyncDisposable {
  /** Resolves after the first complete list. */
  readonly synced: Promise<void>;
  /** By `<namespace>/<name>` or `<name>`. */
  get(key: string): T | undefined;
  list(): T[];
  /** Reports existing objects as `added` first. */
  watch(handler: InformerHandler<T>): Disposable;
}

export interface InformerHandler<T> {
  added?(object: T): void;
  updated?(object: T, old: T): void;
  removed?(object: T): void;
}

const core = { group: "", version: "v1" } as const;
const apps = { group: "apps", version: "v1" } as const;

/** The collections that cloudcore reads and writes. */
export const resources = {
  namespaces: { ...core, plural: "namespaces", kind: "Namespace", namespaced: false },
  nodes: { ...core, plural: "nodes", kind: "Node", namespaced: false },
  pods: { ...core, plural: "pods", kind: "Pod", namespaced: true },
  configMaps: { ...core, plural: "configmaps", kind: "ConfigMap", namespaced: true },
  secrets: { ...core, plural: "secrets", kind: "Secret", namespaced: true },
  endpoints: { ...core, plural: "endpoints", kind: "Endpoints", namespaced: true },
  endpointSlices: {
    group: "discovery.k8s.io",
    version: "v1",
    plural: "endpointslices",
    kind: "EndpointSlice",
    namespaced: true,
  },
  services: { ...core, plural: "services", kind: "Service", namespaced: true },
  serviceAccounts: { ...core, plural: "serviceaccounts", kind: "ServiceAccount", namespaced: true },
  certificateSigningRequests: {
    group: "certificates.k8s.io",
    version: "v1",
    plural: "certificatesigningrequests",
    kind: "CertificateSigningRequest",
    namespaced: false,
  },
  persistentVolumes: { ...core, plural: "persistentvolumes", kind: "PersistentVolume", namespaced: false },
  persistentVolumeClaims: {
    ...core,
    plural: "persistentvolumeclaims",
    kind: "PersistentVolumeClaim",
    namespaced: true,
  },
  events: { ...core, plural: "events", kind: "Event", namespaced: true },
  leases: { group: "coordination.k8s.io", version: "v1", plural: "leases", kind: "Lease", namespaced: true },
  replicationControllers: {
    ...core,
    plural: "replicationcontrollers",
    kind: "ReplicationController",
    namespaced: true,
  },
  deployments: { ...apps, plural: "deployments", kind: "Deployment", namespaced: true },
  replicaSets: { ...apps, plural: "replicasets", kind: "ReplicaSet", namespaced: true },
  daemonSets: { ...apps, plural: "daemonsets", kind: "DaemonSet", namespaced: true },
  statefulSets: { ...apps, plural: "statefulsets", kind: "StatefulSet", namespaced: true },
  controllerRevisions: {
    ...apps,
    plural: "controllerrevisions",
    kind: "ControllerRevision",
    namespaced: true,
  },
  runtimeClasses: {
    group: "node.k8s.io",
    version: "v1",
    plural: "runtimeclasses",
    kind: "RuntimeClass",
    namespaced: false,
  },
  storageClasses: {
    group: "storage.k8s.io",
    version: "v1",
    plural: "storageclasses",
    kind: "StorageClass",
    namespaced: false,
  },
  podDisruptionBudgets: {
    group: "policy",
    version: "v1",
    plural: "poddisruptionbudgets",
    kind: "PodDisruptionBudget",
    namespaced: true,
  },
  cronJobs: { group: "batch", version: "v1", plural: "cronjobs", kind: "CronJob", namespaced: true },
  jobs: { group: "batch", version: "v1", plural: "jobs", kind: "Job", namespaced: true },
  autoscalers: {
    group: "autoscaling",
    version: "v2",
    plural: "horizontalpodautoscalers",
    kind: "HorizontalPodAutoscaler",
    namespaced: true,
  },
  podMetrics: {
    group: "metrics.k8s.io",
    version: "v1beta1",
    plural: "pods",
    kind: "PodMetrics",
    namespaced: true,
  },
  clusterRoles: {
    group: "rbac.authorization.k8s.io",
    version: "v1",
    plural: "clusterroles",
    kind: "ClusterRole",
    namespaced: false,
  },
  crds: {
    group: "apiextensions.k8s.io",
    version: "v1",
    plural: "customresourcedefinitions",
    kind: "CustomResourceDefinition",
    namespaced: false,
  },
  objectSyncs: {
    group: "reliablesyncs.kubeedge.io",
    version: "v1alpha1",
    plural: "objectsyncs",
    kind: "ObjectSync",
    namespaced: true,
  },
  clusterObjectSyncs: {
    group: "reliablesyncs.kubeedge.io",
    version: "v1alpha1",
    plural: "clusterobjectsyncs",
    kind: "ClusterObjectSync",
    namespaced: false,
  },
  devices: {
    group: "devices.kubeedge.io",
    version: "v1beta1",
    plural: "devices",
    kind: "Device",
    namespaced: true,
  },
  deviceModels: {
    group: "devices.kubeedge.io",
    version: "v1beta1",
    plural: "devicemodels",
    kind: "DeviceModel",
    namespaced: true,
  },
  imagePrePullJobs: {
    group: "operations.kubeedge.io",
    version: "v1alpha1",
    plural: "imageprepulljobs",
    kind: "ImagePrePullJob",
    namespaced: false,
  },
  rules: { group: "rules.kubeedge.io", version: "v1", plural: "rules", kind: "Rule", namespaced: true },
  deviceRules: {
    group: "rules.kubeedge.io",
    version: "v1alpha1",
    plural: "devicerules",
    kind: "DeviceRule",
    namespaced: true,
  },
  ruleEndpoints: {
    group: "rules.kubeedge.io",
    version: "v1",
    plural: "ruleendpoints",
    kind: "RuleEndpoint",
    namespaced: true,
  },
  tokenReviews: {
    group: "authentication.k8s.io",
    version: "v1",
    plural: "tokenreviews",
    kind: "TokenReview",
    namespaced: false,
  },
  subjectAccessReviews: {
    group: "authorization.k8s.io",
    version: "v1",
    plural: "subjectaccessreviews",
    kind: "SubjectAccessReview",
    namespaced: false,
  },
} as const satisfies Record<string, ResourceType>;
