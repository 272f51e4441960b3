import type { KubeObject, Status } from "#shared/kube";

/** What of the API a node may ask for: a kind, or a subresource of one. */
export type NodeResource =
  | "ConfigMap"
  | "Device/desired"
  | "Event"
  | "Lease"
  | "Node"
  | "Node/status"
  | "PersistentVolume"
  | "PersistentVolumeClaim"
  | "Pod"
  | "Pod/status"
  | "Secret"
  | "ServiceAccount/token"
  | "VolumeAttachment";

/** KubeEdge's words: `query` is Kubernetes' get, `insert` create, `update` replace. */
export type NodeVerb = "delete" | "insert" | "patch" | "query" | "update";

/** A request of a node to the API, which edgecontroller makes with the rights of that node. */
export interface NodeRequest {
  readonly node: string;
  readonly verb: NodeVerb;
  readonly resource: NodeResource;
  /** empty for objects without a namespace */
  readonly namespace: string;
  /** One part of a path of the API, and so is the namespace; may be empty. */
  readonly name: string;
  /** The object, patch or options, as the node sent it: an object, or text that holds it as JSON. */
  readonly content: unknown;
}

/** `object` is absent where the node needs none, as for a deletion. */
export type NodeAnswer =
  | { readonly ok: true; readonly object?: KubeObject | undefined }
  | { readonly ok: false; readonly status: Status };
