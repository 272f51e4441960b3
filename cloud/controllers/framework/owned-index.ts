import type { Informer } from "#cloud/kube-client";
import { objectKey, type KubeObject } from "#shared/kube";
import { controllerOf } from "./owner-references.ts";

export interface OwnedListener<T> {
  /** An object was added, updated (then with its old state) or removed. */
  changed(object: T, old: T | undefined, removed: boolean): void;
}

/** The objects of an informer by the uid of their controller, and those without a controller by namespace. */
export class OwnedIndex<T extends KubeObject> implements Disposable {
  readonly #groups = new Map<string, Map<string, T>>();
  readonly #watch: Disposable;

  constructor(informer: Informer<T>, listener: OwnedListener<T>) {
    this.#watch = informer.watch({
      added: (object) => {
        this.#put(object);
        listener.changed(object, undefined, false);
      },
      updated: (object, old) => {
        this.#remove(old);
        this.#put(object);
        listener.changed(object, old, false);
      },
      removed: (object) => {
        this.#remove(object);
        listener.changed(object, undefined, true);
      },
    });
  }

  /** The objects whose controller has this uid. */
  ownedBy(uid: string): T[] {
    return [...(this.#groups.get(uid)?.values() ?? [])];
  }

  /** The objects without a controller. */
  orphansIn(namespace: string): T[] {
    return [...(this.#groups.get(orphansOf(namespace))?.values() ?? [])];
  }

  #put(object: T): void {
    const group = groupOf(object);
    const members = this.#groups.get(group) ?? new Map<string, T>();
    members.set(objectKey(object), object);
    this.#groups.set(group, members);
  }

  #remove(object: T): void {
    const group = groupOf(object);
    const members = this.#groups.get(group);
    members?.delete(objectKey(object));
    if (members?.size === 0) this.#groups.delete(group);
  }

  [Symbol.dispose](): void {
    this.#watch[Symbol.dispose]();
  }
}

function groupOf(object: KubeObject): string {
  return controllerOf(object)?.uid ?? orphansOf(object.metadata.namespace ?? "");
}

function orphansOf(namespace: string): string {
  return `orphans/${namespace}`;
}
