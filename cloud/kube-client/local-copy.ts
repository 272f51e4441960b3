import { compareVersions, objectKey, type KubeObject } from "#shared/kube";

export type Change<T> =
  | { readonly kind: "added"; readonly object: T }
  | { readonly kind: "updated"; readonly object: T; readonly old: T }
  | { readonly kind: "removed"; readonly object: T };

/** The copy an informer keeps; says what really changed, so that nothing is told twice. */
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

  /** One event of a watch. What is older than the copy changes nothing. */
  put(object: T): Change<T>[] {
    const key = objectKey(object);
    const old = this.#objects.get(key);
    if (old && old.metadata.uid === object.metadata.uid && !isNewer(object, old)) return [];
    return this.#set(key, old, object);
  }

  /** `last` is the object as the server last had it. */
  remove(last: T): Change<T>[] {
    const key = objectKey(last);
    const old = this.#objects.get(key);
    if (!old || (last.metadata.uid !== undefined && old.metadata.uid !== last.metadata.uid)) return [];
    this.#objects.delete(key);
    return [{ kind: "removed", object: last }];
  }

  /** A complete list: generates the changes since the copy was right, removals first. Lazily: apply, then tell. */
  *replace(items: Iterable<T>): Generator<Change<T>> {
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

  #set(key: string, old: T | undefined, object: T): Change<T>[] {
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
  // Versions that are no numbers compare as equal: then any other one is news.
  return (
    version !== old.metadata.resourceVersion && compareVersions(version, old.metadata.resourceVersion) >= 0
  );
}
