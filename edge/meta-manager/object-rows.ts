import { compareVersions, type KubeObject } from "#shared/kube";
import { asRecord } from "#shared/json";
import type { Store } from "#edge/store";

/** Rows of this type hold the last status of a pod as the patch that is sent to the cloud, as KubeEdge names them. */
export const podPatchType = "podpatch";

/** The object of a stored row; a row that cannot be read counts as none. */
export function readStored(store: Store, key: string): KubeObject | undefined {
  const row = store.metas.find(key);
  return row ? parseRow(row.value) : undefined;
}

/** Whether a newer version of the same object (by uid) is stored. */
export function isStale(store: Store, key: string, object: KubeObject): boolean {
  const stored = readStored(store, key);
  if (!stored || stored.metadata.uid !== object.metadata.uid) return false;
  return compareVersions(object.metadata.resourceVersion, stored.metadata.resourceVersion) < 0;
}

/** @returns undefined when the value of the row is no object of Kubernetes */
export function parseRow(value: string): KubeObject | undefined {
  try {
    const parsed: unknown = JSON.parse(value);
    // A v0.x cloud sends objects as text, and rows of older databases hold it so.
    const object: unknown = typeof parsed === "string" ? JSON.parse(parsed) : parsed;
    return isKubeObject(object) ? object : undefined;
  } catch {
    return undefined;
  }
}

function isKubeObject(value: unknown): value is KubeObject {
  const metadata = asRecord(value)?.["metadata"];
  return typeof metadata === "object" && metadata !== null;
}
