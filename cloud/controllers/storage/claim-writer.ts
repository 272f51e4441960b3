import { ignoreMissing, objectAt, resources, type KubeClient } from "#cloud/kube-client";
import type { PersistentVolume, PersistentVolumeClaim } from "#cloud/controllers/framework";
import { selectedNodeAnnotation } from "./match.ts";

const boundByController = "pv.kubernetes.io/bound-by-controller";
const bindCompleted = "pv.kubernetes.io/bind-completed";

/** Writes what binds a claim to a volume, each step so that it may be repeated. Follows bind of pv_controller.go. */
export class ClaimWriter {
  readonly #kube: KubeClient;

  constructor(kube: KubeClient) {
    this.#kube = kube;
  }

  /** The volume names the claim first: a crash between the two steps leaves nothing that another claim could take. */
  async bind(claim: PersistentVolumeClaim, volume: PersistentVolume): Promise<void> {
    await this.reserve(claim, volume);
    await this.volumePhase(volume, "Bound");
    await this.#nameVolume(claim, volume);
    await this.#claimBound(claim, volume);
  }

  /** Conditional on the version that was seen: of two claims one gets the volume. */
  async reserve(claim: PersistentVolumeClaim, volume: PersistentVolume): Promise<void> {
    const { uid, namespace, name } = claim.metadata;
    if (volume.spec.claimRef?.uid === uid) return;
    const claimRef = { apiVersion: "v1", kind: "PersistentVolumeClaim", namespace, name, uid };
    const { uid: volumeUid, resourceVersion } = volume.metadata;
    const annotations = volume.spec.claimRef ? {} : { [boundByController]: "yes" };
    const patch = { metadata: { uid: volumeUid, resourceVersion, annotations }, spec: { claimRef } };
    await this.#kube.patch(resources.persistentVolumes, objectAt(volume), patch, { type: "merge" });
  }

  /** Has the volume of the claim made on a node. */
  async selectNode({ metadata }: PersistentVolumeClaim, node: string): Promise<void> {
    if (metadata.annotations?.[selectedNodeAnnotation] === node) return;
    const patch = { metadata: { uid: metadata.uid, annotations: { [selectedNodeAnnotation]: node } } };
    const target = objectAt({ metadata });
    await this.#kube.patch(resources.persistentVolumeClaims, target, patch, { type: "merge" });
  }

  async volumePhase(
    volume: PersistentVolume,
    phase: NonNullable<PersistentVolume["status"]>["phase"],
    message?: string,
  ): Promise<void> {
    if (volume.status?.phase === phase && volume.status?.message === message) return;
    const patch = { metadata: { uid: volume.metadata.uid }, status: { phase, message: message ?? null } };
    const options = { type: "merge", subresource: "status" } as const;
    await ignoreMissing(this.#kube.patch(resources.persistentVolumes, objectAt(volume), patch, options));
  }

  async #nameVolume(claim: PersistentVolumeClaim, { metadata }: PersistentVolume): Promise<void> {
    const { uid, annotations = {} } = claim.metadata;
    if (claim.spec.volumeName === metadata.name && annotations[bindCompleted] === "yes") return;
    const added = {
      [bindCompleted]: "yes",
      ...(!claim.spec.volumeName && { [boundByController]: "yes" }),
    };
    const patch = { metadata: { uid, annotations: added }, spec: { volumeName: metadata.name } };
    await this.#kube.patch(resources.persistentVolumeClaims, objectAt(claim), patch, { type: "merge" });
  }

  async #claimBound(claim: PersistentVolumeClaim, { spec }: PersistentVolume): Promise<void> {
    const { accessModes = [], capacity = {} } = spec;
    const status = {
      phase: "Bound",
      accessModes,
      capacity: { storage: capacity["storage"] ?? "0" },
    } as const;
    const now = claim.status ?? {};
    const isSame = Object.entries(status).every(([field, value]) =>
      Bun.deepEquals((now as Record<string, unknown>)[field], value),
    );
    if (!isSame) await this.claimStatus(claim, status);
  }

  async claimStatus(claim: PersistentVolumeClaim, status: PersistentVolumeClaim["status"]): Promise<void> {
    const patch = { metadata: { uid: claim.metadata.uid }, status };
    const options = { type: "merge", subresource: "status" } as const;
    await ignoreMissing(this.#kube.patch(resources.persistentVolumeClaims, objectAt(claim), patch, options));
  }
}

/** Whether the claim was bound once: then a volume that is gone is lost. */
export function wasBound({ metadata }: PersistentVolumeClaim): boolean {
  return metadata.annotations?.[bindCompleted] === "yes";
}
