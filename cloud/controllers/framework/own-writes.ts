import { compareVersions, type KubeObject } from "#shared/kube";

/**
 * What a controller has written and the local copy does not show yet. Who decides by an old status would count, or start,
 * something twice.
 */
export class OwnWrites<T extends KubeObject> {
  readonly #written = new Map<string, T>();

  wrote(object: T): void {
    this.#written.set(object.metadata.uid ?? "", object);
  }

  /** The newer one of the local copy and what was written. */
  newest(copy: T): T {
    const uid = copy.metadata.uid ?? "";
    const written = this.#written.get(uid);
    if (written && compareVersions(written.metadata.resourceVersion, copy.metadata.resourceVersion) > 0)
      return written;
    this.#written.delete(uid);
    return copy;
  }

  forget({ metadata }: T): void {
    this.#written.delete(metadata.uid ?? "");
  }
}
