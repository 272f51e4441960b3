import type { KubeObject, OwnerReference } from "#shared/kube";

export const foregroundFinalizer = "foregroundDeletion";

/** Dependents by the uid of their owner, and the objects that wait until their dependents are gone; as graph_builder.go. */
export class OwnerGraph {
  readonly #dependents = new Map<string, Set<string>>();
  /** Dependents with blockOwnerDeletion, for which their owner waits. */
  readonly #blocking = new Map<string, Set<string>>();
  readonly #waiting = new Set<string>();

  add(key: string, object: KubeObject): void {
    for (const owner of ownersOf(object)) {
      addTo(this.#dependents, owner.uid, key);
      if (owner.blockOwnerDeletion === true) addTo(this.#blocking, owner.uid, key);
    }
    if (waitsForDependents(object)) this.#waiting.add(key);
  }

  remove(key: string, object: KubeObject): void {
    for (const { uid } of ownersOf(object)) {
      removeFrom(this.#dependents, uid, key);
      removeFrom(this.#blocking, uid, key);
    }
    this.#waiting.delete(key);
  }

  dependentsOf({ metadata }: KubeObject): ReadonlySet<string> {
    return this.#dependents.get(metadata.uid ?? "") ?? none;
  }

  /** Dependents with blockOwnerDeletion; whether they name the owner where it is has to be checked. */
  blockersOf({ metadata }: KubeObject): ReadonlySet<string> {
    return this.#blocking.get(metadata.uid ?? "") ?? none;
  }

  /** Objects that are being deleted in the foreground. */
  waiting(): ReadonlySet<string> {
    return this.#waiting;
  }
}

const none: ReadonlySet<string> = new Set<string>();

function addTo(map: Map<string, Set<string>>, uid: string, key: string): void {
  const keys = map.get(uid);
  if (keys) keys.add(key);
  else map.set(uid, new Set([key]));
}

function removeFrom(map: Map<string, Set<string>>, uid: string, key: string): void {
  const keys = map.get(uid);
  keys?.delete(key);
  if (keys?.size === 0) map.delete(uid);
}

export function ownersOf(object: KubeObject | undefined): readonly OwnerReference[] {
  return object?.metadata.ownerReferences ?? [];
}

/** Whether an object is being deleted in the foreground. */
export function waitsForDependents({ metadata }: KubeObject): boolean {
  return (
    metadata.deletionTimestamp !== undefined && metadata.finalizers?.includes(foregroundFinalizer) === true
  );
}
