import type { KubeObject } from "#shared/kube";

export type ChangeType = "ADDED" | "MODIFIED" | "DELETED";

/** One revision of one object, as watches see it. */
export interface RevisionChange {
  readonly revision: number;
  readonly type: ChangeType;
  /** `<group>/<plural>` */
  readonly resource: string;
  /** `<namespace>/<name>` */
  readonly key: string;
  /** JSON of the object, resourceVersion included; of a deletion, its last state. */
  readonly text: string;
  /** The revision this one replaced. */
  readonly previous: number | undefined;
}

/** A current object: where it is and which revision it has. */
export interface StoredKey {
  readonly key: string;
  readonly revision: number;
}

export interface WriteRequest {
  /** `<group>/<plural>`, e.g. "apps/deployments" or "/pods" */
  readonly resource: string;
  /** `<namespace>/<name>`; the namespace is empty for cluster-scoped objects */
  readonly key: string;
  /** Receives its resourceVersion; must not be changed afterwards. */
  readonly object: KubeObject;
  /** The object is deleted; `object` is its last state. */
  readonly remove?: boolean;
  /**
   * It is reported again: it may be in the memory until the next minute, and is taken back by a crash. The numbers of revisions
   * never are.
   */
  readonly isVolatile?: boolean;
  /** Not refused for its size: a deletion must not fail because the object is too large already. */
  readonly anySize?: boolean;
}

/** A row of table `revisions`. */
export interface RevisionRow {
  readonly id: number;
  readonly resource: string;
  readonly key: string;
  readonly previous: number | null;
  readonly deleted: number;
  readonly value: string;
}

/** @param text the row's value, decrypted */
export function toChange(
  { id, resource, key, previous, deleted }: RevisionRow,
  text: string,
): RevisionChange {
  return {
    revision: id,
    type: deleted === 1 ? "DELETED" : previous === null ? "ADDED" : "MODIFIED",
    resource,
    key,
    text,
    previous: previous ?? undefined,
  };
}
