import type { KubeObject } from "#shared/kube";

/** An object of the API that a node is to have or, deleted, to give up. */
export interface ObjectDelivery {
  readonly node: string;
  readonly operation: "delete" | "insert" | "update";
  readonly object: KubeObject;
}

/** What is on record of an object that was delivered to a node. */
export interface DeliveredObject {
  readonly apiVersion: string;
  readonly kind: string;
  /** empty for objects without a namespace */
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  /** `contentDigest` of what was acknowledged, when known: equal digests need no resending. Empty: it is to be deleted. */
  readonly digest?: string | undefined;
}

export interface AckedObject extends DeliveredObject {
  readonly node: string;
  readonly deleted: boolean;
}
