import { ignoreMissing, isKubeError, objectAt, resources } from "#cloud/kube-client";
import {
  ControllerEvents,
  isDeleting,
  WorkQueue,
  type ControllerDeps,
  type PersistentVolume,
  type PersistentVolumeClaim,
  type StorageClass,
} from "#cloud/controllers/framework";
import { asError } from "#shared/errors";
import { edgeNodeLabel, objectKey, type ObjectReference } from "#shared/kube";
import { removerOf } from "#shared/volumes";
import { ClaimWriter, wasBound } from "./claim-writer.ts";
import { localPath, localVolume, provisioningFault } from "./local-path.ts";
import {
  findVolume,
  isDelayed,
  isFor,
  satisfies,
  selectedNodeAnnotation,
  type StorageView,
} from "./match.ts";

import { storageViewOf } from "./storage-view.ts";

type BinderDeps = Pick<
  ControllerDeps,
  "kube" | "clock" | "log" | "nodes" | "persistentVolumeClaims" | "persistentVolumes" | "storageClasses"
>;

/** Binds claims and volumes, as kube-controller-manager's pkg/controller/volume/persistentvolume. */
export function startVolumeBinder(deps: BinderDeps): AsyncDisposable {
  return new VolumeBinder(deps);
}

class VolumeBinder implements AsyncDisposable {
  readonly #deps: BinderDeps;
  readonly #view: StorageView;
  readonly #events: ControllerEvents;
  readonly #writer: ClaimWriter;
  readonly #claims: WorkQueue;
  readonly #volumes: WorkQueue;
  readonly #watches: Disposable[];

  constructor(deps: BinderDeps) {
    const { persistentVolumeClaims: claims, persistentVolumes: volumes, storageClasses } = deps;
    this.#deps = deps;
    this.#view = storageViewOf(deps);
    this.#events = new ControllerEvents(deps, "persistentvolume-controller");
    this.#writer = new ClaimWriter(deps.kube);
    this.#claims = new WorkQueue({ ...deps, name: "claims", reconcile: (key) => this.#syncClaim(key) });
    this.#volumes = new WorkQueue({ ...deps, name: "volumes", reconcile: (key) => this.#syncVolume(key) });
    this.#watches = [
      claims.watch({
        added: (claim) => this.#claimChanged(claim),
        updated: (claim) => this.#claimChanged(claim),
        removed: (claim) => this.#wakeVolume(claim.spec.volumeName),
      }),
      volumes.watch({
        added: (volume) => this.#volumeChanged(volume),
        updated: (volume) => this.#volumeChanged(volume),
        removed: ({ spec }) => this.#wakeClaim(spec.claimRef),
      }),
      deps.nodes.watch({ removed: () => this.#wakeReleased() }),
      storageClasses.watch({ added: () => this.#wakeUnbound(), updated: () => this.#wakeUnbound() }),
    ];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const watch of this.#watches) watch[Symbol.dispose]();
    await this.#claims[Symbol.asyncDispose]();
    await this.#volumes[Symbol.asyncDispose]();
    await this.#events[Symbol.asyncDispose]();
  }

  #claimChanged(claim: PersistentVolumeClaim): void {
    this.#claims.add(objectKey(claim));
    this.#wakeVolume(claim.spec.volumeName);
  }

  #volumeChanged(volume: PersistentVolume): void {
    this.#volumes.add(volume.metadata.name ?? "");
    if (volume.spec.claimRef) this.#wakeClaim(volume.spec.claimRef);
    else this.#wakeUnbound();
  }

  #wakeVolume(name: string | undefined): void {
    if (name) this.#volumes.add(name);
  }

  #wakeClaim(reference: PersistentVolume["spec"]["claimRef"]): void {
    if (reference?.name) this.#claims.add(`${reference.namespace ?? ""}/${reference.name}`);
  }

  #wakeReleased(): void {
    for (const { metadata, status } of this.#deps.persistentVolumes.list())
      if (status?.phase === "Released") this.#volumes.add(metadata.name ?? "");
  }

  #wakeUnbound(): void {
    for (const claim of this.#deps.persistentVolumeClaims.list())
      if (claim.status?.phase !== "Bound") this.#claims.add(objectKey(claim));
  }

  async #syncClaim(key: string): Promise<void> {
    const claim = this.#view.claim(key);
    if (!claim || isDeleting(claim)) return;
    if (claim.spec.volumeName) await this.#followVolume(claim, claim.spec.volumeName);
    else await this.#findVolume(claim);
  }

  /** The claim names its volume: its author or an earlier run did that. */
  async #followVolume(claim: PersistentVolumeClaim, name: string): Promise<void> {
    const volume = this.#view.volume(name);
    if (volume?.spec.claimRef && !isFor(volume, claim))
      return this.#lose(
        claim,
        "ClaimMisbound",
        "Two claims are bound to the same volume, this one is bound incorrectly",
      );
    if (!volume && wasBound(claim))
      return this.#lose(
        claim,
        "ClaimLost",
        "Bound claim has lost its PersistentVolume. Data on the volume is lost!",
      );
    if (!volume) return undefined;
    if (!wasBound(claim) && !satisfies(volume, claim)) {
      this.#record(
        claim,
        "VolumeMismatch",
        `Cannot bind to requested volume "${name}": its size or access modes do not match`,
      );
      return undefined;
    }
    return this.#writer.bind(claim, volume);
  }

  async #lose(claim: PersistentVolumeClaim, reason: string, message: string): Promise<void> {
    if (!wasBound(claim)) {
      this.#record(
        claim,
        "FailedBinding",
        `volume "${claim.spec.volumeName ?? ""}" already bound to a different claim.`,
      );
      return;
    }
    if (claim.status?.phase === "Lost") return;
    await this.#writer.claimStatus(claim, { phase: "Lost" });
    this.#record(claim, reason, message);
  }

  async #findVolume(claim: PersistentVolumeClaim): Promise<void> {
    const selectedNode = claim.metadata.annotations?.[selectedNodeAnnotation];
    const node = selectedNode === undefined ? undefined : this.#deps.nodes.get(selectedNode);
    const isWaiting = isDelayed(claim, this.#view) && selectedNode === undefined;
    const volume = findVolume(claim, this.#view.volumes(), { ...(node && { node }), isReserved: isWaiting });
    if (volume) await this.#writer.bind(claim, volume);
    else if (isWaiting)
      this.#record(claim, "WaitForFirstConsumer", "waiting for first consumer to be created before binding");
    else await this.#provision(claim, selectedNode);
  }

  async #provision(claim: PersistentVolumeClaim, node: string | undefined): Promise<void> {
    const name = claim.spec.storageClassName ?? "";
    const storageClass = name === "" ? undefined : this.#view.storageClass(name);
    if (name === "")
      this.#record(
        claim,
        "FailedBinding",
        "no persistent volumes available for this claim and no storage class is set",
      );
    else if (!storageClass)
      this.#record(claim, "ProvisioningFailed", `storageclass.storage.k8s.io "${name}" not found`);
    else if (storageClass.provisioner === localPath) await this.#makeVolume(claim, storageClass, node);
    else if (storageClass.provisioner !== "kubernetes.io/no-provisioner")
      this.#record(
        claim,
        "ExternalProvisioning",
        `Waiting for a volume to be created either by the external provisioner '${storageClass.provisioner}' ` +
          "or manually by the system administrator. If volume creation is delayed, please verify that the provisioner " +
          "is running and correctly registered.",
      );
  }

  async #makeVolume(
    claim: PersistentVolumeClaim,
    storageClass: StorageClass,
    node: string | undefined,
  ): Promise<void> {
    const fault = provisioningFault(claim, storageClass);
    if (fault !== undefined || node === undefined) {
      const text = `failed to provision volume with StorageClass "${storageClass.metadata.name ?? ""}"`;
      this.#record(claim, "ProvisioningFailed", `${text}: ${fault ?? "no node was chosen"}`);
      return;
    }
    const volume = localVolume(claim, storageClass, node);
    try {
      const made = await this.#deps.kube.create<PersistentVolume>(resources.persistentVolumes, volume);
      this.#record(
        claim,
        "ProvisioningSucceeded",
        `Successfully provisioned volume ${made.metadata.name ?? ""}`,
      );
      await this.#writer.bind(claim, made);
    } catch (error) {
      // Made by an earlier run that the local copy does not show yet: its event wakes the claim.
      if (isKubeError(error, 409)) return;
      this.#record(claim, "ProvisioningFailed", asError(error).message);
      throw error;
    }
  }

  async #syncVolume(name: string): Promise<void> {
    const volume = this.#view.volume(name);
    if (!volume || (isDeleting(volume) && volume.status?.phase !== "Bound")) return;
    const { claimRef } = volume.spec;
    if (!claimRef?.uid) return this.#writer.volumePhase(volume, "Available");
    const claim = await this.#claimOf(claimRef);
    if (!claim) return this.#reclaim(volume);
    if (claim.spec.volumeName === name) await this.#writer.volumePhase(volume, "Bound");
    return undefined;
  }

  /** The claim that a volume names. The local copy of claims may be behind that of volumes: asked before data are dropped. */
  async #claimOf({
    namespace = "",
    name = "",
    uid,
  }: ObjectReference): Promise<PersistentVolumeClaim | undefined> {
    const copy = this.#view.claim(`${namespace}/${name}`);
    if (copy?.metadata.uid === uid) return copy;
    const target = { namespace, name };
    const fresh = await this.#deps.kube.find<PersistentVolumeClaim>(resources.persistentVolumeClaims, target);
    return fresh?.metadata.uid === uid ? fresh : undefined;
  }

  async #reclaim(volume: PersistentVolume): Promise<void> {
    const { persistentVolumeReclaimPolicy: policy = "Retain" } = volume.spec;
    const phase = volume.status?.phase;
    if (phase === "Failed") return;
    if (phase !== "Released") await this.#writer.volumePhase(volume, "Released");
    const provisioner = volume.metadata.annotations?.["pv.kubernetes.io/provisioned-by"];
    if (policy === "Delete" && provisioner === localPath) await this.#giveBack(volume);
    else if (policy === "Recycle" || (policy === "Delete" && provisioner === undefined))
      await this.#fail(volume, policy);
  }

  /** An edge node removes the directory first, when it can; a node that is gone has nothing to remove. */
  async #giveBack(volume: PersistentVolume): Promise<void> {
    const name = removerOf({ ...volume, status: { phase: "Released" } });
    const node = name === undefined ? undefined : this.#deps.nodes.get(name);
    if (node?.metadata.labels?.[edgeNodeLabel] === undefined) await this.#removeVolume(volume);
  }

  async #removeVolume(volume: PersistentVolume): Promise<void> {
    const { uid = "" } = volume.metadata;
    await ignoreMissing(this.#deps.kube.remove(resources.persistentVolumes, objectAt(volume), { uid }));
  }

  /** Volumes of an operator are the operator's to empty; those of another provisioner are that one's. */
  async #fail(volume: PersistentVolume, policy: string): Promise<void> {
    const [reason, verb] =
      policy === "Delete" ? ["VolumeFailedDelete", "deletable"] : ["VolumeFailedRecycle", "recyclable"];
    const message = `no ${verb} volume plugin matched`;
    await this.#writer.volumePhase(volume, "Failed", message);
    this.#events.record(resources.persistentVolumes, volume, { type: "Warning", reason, message });
  }

  #record(claim: PersistentVolumeClaim, reason: string, message: string): void {
    const isWarning = /Failed|Lost|Misbound|Mismatch/.test(reason);
    const text = { type: isWarning ? "Warning" : "Normal", reason, message } as const;
    this.#events.record(resources.persistentVolumeClaims, claim, text);
  }
}
