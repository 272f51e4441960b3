import type { KubeObject } from "#shared/kube";
import type { DeliveredObject } from "#shared/topics";

/** An ObjectSync or ClusterObjectSync of the API. */
export interface ObjectSync extends KubeObject {
  spec?: { objectAPIVersion?: string; objectKind?: string; objectName?: string };
  status?: { objectResourceVersion?: string; contentDigest?: string; nodeDatabase?: string };
}

/** What a node has of one object. */
export interface SyncRecord {
  readonly node: string;
  readonly object: DeliveredObject;
  /** acknowledged last, "0" when never */
  version: string;
  /** of what was acknowledged last, when known */
  digest: string | undefined;
  /** where the node keeps it, when known */
  database: string | undefined;
  /** the database the API has */
  storedDatabase: string | undefined;
  /** the version the API has, undefined while it has no object or an object without status */
  storedVersion: string | undefined;
  /** whether the API has the object */
  stored: boolean;
}

export const neverAcknowledged = "0";

/** node → uid → record */
export class Records {
  readonly #nodes = new Map<string, Map<string, SyncRecord>>();

  get(node: string, uid: string): SyncRecord | undefined {
    return this.#nodes.get(node)?.get(uid);
  }

  of(node: string): SyncRecord[] {
    return [...(this.#nodes.get(node)?.values() ?? [])];
  }

  nodes(): string[] {
    return [...this.#nodes.keys()];
  }

  add(record: SyncRecord): void {
    const { node, object } = record;
    const records = this.#nodes.get(node) ?? new Map<string, SyncRecord>();
    this.#nodes.set(node, records.set(object.uid, record));
  }

  remove(node: string, uid: string): void {
    const records = this.#nodes.get(node);
    records?.delete(uid);
    if (records?.size === 0) this.#nodes.delete(node);
  }
}

export function newRecord(node: string, object: DeliveredObject): SyncRecord {
  const { digest: _digest, ...rest } = object;
  return {
    node,
    object: { ...rest, resourceVersion: neverAcknowledged },
    version: neverAcknowledged,
    digest: undefined,
    database: undefined,
    storedDatabase: undefined,
    storedVersion: undefined,
    stored: false,
  };
}

/** @returns undefined when the name is not `<node>.<uid>`; node names may hold dots, uids do not. */
export function syncRecordOf(sync: ObjectSync): SyncRecord | undefined {
  const { name = "", namespace = "" } = sync.metadata;
  const dot = name.lastIndexOf(".");
  if (dot <= 0 || dot === name.length - 1) return undefined;
  const { objectAPIVersion = "v1", objectKind = "", objectName = "" } = sync.spec ?? {};
  const { objectResourceVersion, contentDigest: digest, nodeDatabase: database } = sync.status ?? {};
  const storedVersion = objectResourceVersion || undefined;
  const version = storedVersion ?? neverAcknowledged;
  const object: DeliveredObject = {
    apiVersion: objectAPIVersion,
    kind: objectKind,
    namespace,
    name: objectName,
    uid: name.slice(dot + 1),
    resourceVersion: version,
  };
  const node = name.slice(0, dot);
  return { node, object, version, digest, database, storedDatabase: database, storedVersion, stored: true };
}

export function syncOf(record: SyncRecord): ObjectSync {
  const { namespace, apiVersion, kind, name } = record.object;
  return {
    apiVersion: "reliablesyncs.kubeedge.io/v1alpha1",
    kind: namespace ? "ObjectSync" : "ClusterObjectSync",
    metadata: { name: syncNameOf(record), ...(namespace ? { namespace } : {}) },
    spec: { objectAPIVersion: apiVersion, objectKind: kind, objectName: name },
  };
}

/** Name of the sync. */
export function syncNameOf({ node, object }: SyncRecord): string {
  return `${node}.${object.uid}`;
}
