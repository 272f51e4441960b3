/** The Kubernetes shapes we touch: only the fields we read. Objects are relayed whole; unknown fields stay. */

export interface ObjectMeta {
  name?: string;
  generateName?: string;
  namespace?: string;
  uid?: string;
  resourceVersion?: string;
  generation?: number;
  creationTimestamp?: string | null;
  deletionTimestamp?: string;
  deletionGracePeriodSeconds?: number;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  ownerReferences?: OwnerReference[];
  finalizers?: string[];
}

export interface OwnerReference {
  apiVersion: string;
  kind: string;
  name: string;
  uid: string;
  controller?: boolean;
  blockOwnerDeletion?: boolean;
}

/** Any Kubernetes object. */
export interface KubeObject {
  apiVersion?: string;
  kind?: string;
  metadata: ObjectMeta;
  [field: string]: unknown;
}

/** `apps/v1`, or `v1` of the core group: the apiVersion of the objects of a kind or resource. */
export function apiVersionOf(source: { readonly group: string; readonly version: string }): string {
  return source.group === "" ? source.version : `${source.group}/${source.version}`;
}

/** The object without the record of who set which field: bookkeeping of the API, as large as a small object itself. */
export function withoutManagedFields<T extends KubeObject>(object: T): T {
  const { managedFields, ...metadata }: ObjectMeta & { managedFields?: unknown } = object.metadata;
  return managedFields === undefined ? object : { ...object, metadata };
}

export interface ObjectReference {
  apiVersion?: string;
  kind?: string;
  namespace?: string;
  name?: string;
  uid?: string;
  resourceVersion?: string;
  fieldPath?: string;
}

/** metav1.Status: what the API answers instead of an object. */
export interface Status {
  apiVersion?: "v1";
  kind?: "Status";
  metadata?: Record<string, unknown>;
  status: "Success" | "Failure";
  message?: string;
  reason?: string;
  code?: number;
  details?: {
    name?: string;
    group?: string;
    kind?: string;
    uid?: string;
    causes?: { reason?: string; message?: string; field?: string }[];
    retryAfterSeconds?: number;
  };
}

/** One condition of a status, as Node, Pod and Deployment have them. */
export interface Condition {
  type: string;
  status: "True" | "False" | "Unknown";
  reason?: string;
  message?: string;
  lastTransitionTime?: string | null;
  lastHeartbeatTime?: string;
  lastProbeTime?: string | null;
  lastUpdateTime?: string;
  observedGeneration?: number;
}

export interface Event extends KubeObject {
  involvedObject: ObjectReference;
  reason: string;
  message: string;
  type: "Normal" | "Warning";
  count?: number;
  firstTimestamp?: string;
  lastTimestamp?: string;
  /** Set instead of lastTimestamp in Events of events.k8s.io. */
  eventTime?: string | null;
  series?: { count?: number; lastObservedTime?: string };
  source?: { component?: string; host?: string };
  reportingComponent?: string;
  reportingInstance?: string;
}

export interface Lease extends KubeObject {
  spec?: { holderIdentity?: string; leaseDurationSeconds?: number; renewTime?: string; acquireTime?: string };
}

export interface ConfigMap extends KubeObject {
  data?: Record<string, string>;
  binaryData?: Record<string, string>;
  immutable?: boolean;
}

/** `data` values are base64. */
export interface Secret extends KubeObject {
  type?: string;
  data?: Record<string, string>;
  immutable?: boolean;
}

/** `<namespace>/<name>`, or the name alone for cluster-scoped objects. */
export function objectKey(object: { readonly metadata: ObjectMeta }): string {
  const { namespace, name } = object.metadata;
  return namespace ? `${namespace}/${name ?? ""}` : (name ?? "");
}

/** Compares resourceVersions as integers (they outgrow doubles); a missing one counts as 0. */
export function compareVersions(a: string | undefined, b: string | undefined): number {
  const left = toVersion(a);
  const right = toVersion(b);
  return left < right ? -1 : Number(left > right);
}

function toVersion(text: string | undefined): bigint {
  return text !== undefined && /^\d+$/.test(text) ? BigInt(text) : 0n;
}
