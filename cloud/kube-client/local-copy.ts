import { compareVersions, objectKey, withoutManagedFields, type KubeObject } from "#shared/kube";

/** What became of one object of a copy. */
export type CopyChange<T> =
  | { readonly kind: "added"; readonly object: T }
  | { readonly kind: "updated"; readonly object: T; readonly old: T }
  | { readonly kind: "removed"; readonly object: T };

/** The copy an informer keeps, without managedFields; returns what really changed, so that no change is reported twice. */
export class LocalCopy<T extends KubeObject> {
  readonly #objects = new Map<string, T>();

  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  values(): T[] {
    return [...this.#objects.values()];
  }

  get size(): number {
    return this.#objects.size;
  }

  /** Applies one event of a watch; an object older than the copy changes nothing. */
  put(object: T): CopyChange<T>[] {
    const key = objectKey(object);
    const old = this.#objects.get(key);
    if (old && old.metadata.uid === object.metadata.uid && !isNewer(object, old)) return [];
    return this.#set(key, old, object);
  }

  /** Removes an object; `last` is its last state on the server. */
  remove(last: T): CopyChange<T>[] {
    const key = objectKey(last);
    const old = this.#objects.get(key);
    if (!old || (last.metadata.uid !== undefined && old.metadata.uid !== last.metadata.uid)) return [];
    this.#objects.delete(key);
    return [{ kind: "removed", object: last }];
  }

  /**
   * Replaces the copy by a complete list and yields the differences, removals first. Each is applied when it is yielded,
   * so that a handler finds the copy as of its change.
   */
  *replace(items: Iterable<T>): Generator<CopyChange<T>> {
    const fresh = new Map<string, T>();
    for (const item of items) fresh.set(objectKey(item), item);
    for (const [key, old] of this.#objects) {
      if (fresh.has(key)) continue;
      this.#objects.delete(key);
      yield { kind: "removed", object: old };
    }
    for (const [key, object] of fresh) {
      const old = this.#objects.get(key);
      const isSame =
        old?.metadata.uid === object.metadata.uid &&
        old?.metadata.resourceVersion === object.metadata.resourceVersion;
      if (!old || !isSame) yield* this.#set(key, old, object);
    }
  }

  #set(key: string, old: T | undefined, received: T): CopyChange<T>[] {
    const object = withoutManagedFields(received);
    this.#objects.set(key, object);
    if (!old) return [{ kind: "added", object }];
    if (old.metadata.uid === object.metadata.uid) return [{ kind: "updated", object, old }];
    return [
      { kind: "removed", object: old },
      { kind: "added", object },
    ];
  }
}

function isNewer(object: KubeObject, old: KubeObject): boolean {
  const version = object.metadata.resourceVersion;
  // Versions that are not numbers compare as equal: then every other version counts as newer.
  return (
    version !== old.metadata.resourceVersion && compareVersions(version, old.metadata.resourceVersion) >= 0
  );
}
