import { isKubeError, resources, type Informer, type KubeClient } from "#cloud/kube-client";
import { describeError } from "#shared/errors";
import type { KubeObject } from "#shared/kube";
import type { Logger } from "#shared/log";
import type { AckedObject, DeliveredObject } from "#shared/topics";
import { removerOf } from "#shared/volumes";
import { isCurrent, type ObjectDeliveries } from "./object-deliveries.ts";

export interface ReleasedVolumesOptions {
  readonly kube: KubeClient;
  readonly volumes: Informer<KubeObject>;
  readonly deliveries: Pick<ObjectDeliveries, "released" | "unreleased">;
  readonly delivered: (node: string) => Promise<readonly DeliveredObject[]>;
  readonly log: Logger;
}

/**
 * Volumes whose claims were deleted: each is delivered to the node that has its directory, and deleted in the API when the node
 * has acknowledged it, which it does when the directory is gone. Until then it stays `Released`, whatever is restarted.
 */
export class ReleasedVolumes {
  readonly #options: ReleasedVolumesOptions;

  constructor(options: ReleasedVolumesOptions) {
    this.#options = options;
  }

  watch(): Disposable {
    const { volumes, deliveries } = this.#options;
    const known = new Set(volumes.list().map(({ metadata }) => metadata.uid));
    return volumes.watch({
      added: (volume) => {
        const node = removerOf(volume);
        // What was there before is compared when its node connects.
        if (!known.delete(volume.metadata.uid) && node !== undefined) deliveries.released(node, volume);
      },
      updated: (volume, old) => {
        const node = removerOf(volume);
        if (node !== undefined && removerOf(old) === undefined) deliveries.released(node, volume);
      },
      removed: (volume) => {
        const node = removerOf(volume);
        if (node !== undefined) deliveries.unreleased(node, volume);
      },
    });
  }

  of(node: string): KubeObject[] {
    return this.#options.volumes.list().filter((volume) => removerOf(volume) === node);
  }

  async acked({ node, kind, uid, deleted }: AckedObject): Promise<void> {
    if (kind !== "PersistentVolume" || deleted) return;
    const volume = this.of(node).find(({ metadata }) => metadata.uid === uid);
    if (volume) await this.#remove(volume);
  }

  /** What was acknowledged while nobody listened. */
  async check(node: string): Promise<void> {
    const volumes = this.of(node);
    if (volumes.length === 0) return;
    const records = new Map((await this.#options.delivered(node)).map((record) => [record.uid, record]));
    for (const volume of volumes)
      if (isCurrent(records.get(volume.metadata.uid ?? ""), volume)) await this.#remove(volume);
  }

  async #remove({ metadata: { name = "", uid = "" } }: KubeObject): Promise<void> {
    const { kube, log } = this.#options;
    try {
      await kube.remove(resources.persistentVolumes, { name }, { uid });
    } catch (error) {
      if (isKubeError(error, 404, 409)) return;
      log.warn("cannot delete a volume whose directory is gone", {
        volume: name,
        error: describeError(error),
      });
    }
  }
}
