import type { Informer } from "#cloud/kube-client";
import type { KubeObject } from "#shared/kube";
import { controllerOf } from "./owner-references.ts";

export interface OwnedListener<T> {
  /** An object was added, updated (then with its old state) or removed. */
  changed(object: T, old: T | undefined, removed: boolean): void;
}

/** The objects of an informer by the uid of their controller, and those without a controller by namespace. */
export class OwnedIndex<T extends KubeObject> implements Disposable {
  readonly #informer: Informer<T>;
  /** By group, then by uid: no text is made for a key. */
  readonly #groups = new Map<string, Map<string, T>>();
  readonly #watches = new DisposableStack();

  constructor(informer: Informer<T>) {
    this.#informer = informer;
    this.#watches.use(
      informer.watch({
        added: (object) => this.#put(object),
        updated: (object, old) => {
          this.#remove(old);
          this.#put(object);
        },
        removed: (object) => this.#remove(object),
      }),
    );
  }

  /** Reports what is there, then changes; the index, which watches longer, has them already. */
  watch(listener: OwnedListener<T>): Disposable {
    return this.#watches.use(
      this.#informer.watch({
        added: (object) => listener.changed(object, undefined, false),
        updated: (object, old) => listener.changed(object, old, false),
        removed: (object) => listener.changed(object, undefined, true),
      }),
    );
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
    members.set(object.metadata.uid ?? "", object);
    this.#groups.set(group, members);
  }

  #remove(object: T): void {
    const group = groupOf(object);
    const members = this.#groups.get(group);
    members?.delete(object.metadata.uid ?? "");
    if (members?.size === 0) this.#groups.delete(group);
  }

  [Symbol.dispose](): void {
    this.#watches.dispose();
  }
}

function groupOf(object: KubeObject): string {
  return controllerOf(object)?.uid ?? orphansOf(object.metadata.namespace ?? "");
}

function orphansOf(namespace: string): string {
  return `orphans/${namespace}`;
}
