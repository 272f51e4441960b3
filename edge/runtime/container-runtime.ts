import type { ContainerIdentity, ContainerResources, ContainerSpec, SandboxSpec } from "./specs.ts";
import type { EngineCallOptions, StreamService } from "./streams.ts";
import type { ContainerDiskUsage, ContainerUsage } from "#edge/runtime/usage";

/**
 * What edged needs of a container engine, in our words, and divided as Kubernetes' CRI divides it (`RuntimeService` and
 * `ImageService` of cri-api): pods have a sandbox, which holds their network and IPC namespaces, and containers in it.
 *
 * Every call rejects with UnavailableError while the engine cannot be reached and works again by itself afterwards; a
 * container or image that does not exist has a code of its own (see `RuntimeCode`). A runtime only sees sandboxes and
 * containers of its own owner, apart from `listStrays`.
 */
export interface ContainerRuntime
  extends SandboxService, ContainerService, ImageService, StreamService, AsyncDisposable {
  /** Name and version of the engine; also the check that it can be reached. */
  info(options?: EngineCallOptions): Promise<EngineInfo>;

  /** Sandboxes and containers, of one pod or of all, in any state. */
  list(podUid?: string): Promise<readonly ContainerSummary[]>;
  /** Sandboxes and containers that other data directories of this node made, in any state. */
  listStrays(): Promise<readonly StrayContainer[]>;
  /** A sandbox or a container; undefined when there is none of that id. */
  inspect(id: string): Promise<ContainerDetails | undefined>;

  /**
   * Hints that something happened to a sandbox or container, or that the connection to the engine changed. Hints may be
   * lost, late or repeated: the list is the truth. Reconnects by itself until disposed.
   */
  watch(onHint: (hint: RuntimeHint) => void): Disposable;

  /** Of a node that has both: what runs programs of this machine, and the engine alone. Otherwise absent. */
  readonly kinds?: { readonly processes: PodProcesses; readonly engine: ContainerRuntime };
}

/** A runtime whose containers are programs of this machine. */
export interface PodProcesses extends ContainerRuntime {
  /** The user that a pod has for itself, as an image has one: `UID:GID`. */
  userFor(podUid: string): string;
  /** Whether there is a sandbox of a pod. */
  holds(podUid: string): boolean;
}

export interface SandboxService {
  /**
   * Creates and starts the sandbox of a pod (CRI `RunPodSandbox`). One that the engine refuses to start is removed.
   * @returns it, with its addresses
   */
  runSandbox(spec: SandboxSpec): Promise<ContainerDetails>;
  /** Stops a sandbox at once; resolves when it has ended or does not exist. */
  stopSandbox(id: string): Promise<void>;
  /** Removes a sandbox by force; one that does not exist is no error. */
  removeSandbox(id: string): Promise<void>;
}

export interface ContainerService {
  /** @returns the id of a container that was created and not started */
  create(spec: ContainerSpec): Promise<string>;
  /** Starting a started container is no error. */
  start(id: string): Promise<void>;
  /** Signals the container and kills it after `graceSeconds`; resolves when it has ended or does not exist. */
  stop(id: string, graceSeconds: number): Promise<void>;
  /** Removes a container by force; one that does not exist is no error. */
  remove(id: string): Promise<void>;
  /** Gives a container that runs other resources; what is absent stays as it is. */
  update(id: string, resources: ContainerResources): Promise<void>;
  /** What a sandbox or container has used until now; undefined for one that does not run or cannot be measured. */
  usage(id: string): Promise<ContainerUsage | undefined>;
  /** What a container takes of the disk, running or not; undefined for one that does not exist. It may take seconds. */
  diskUsage(id: string, options?: EngineCallOptions): Promise<ContainerDiskUsage | undefined>;
}

export interface EngineInfo {
  /** "docker", "containerd", "cri-o" */
  readonly name: string;
  readonly version: string;
  /** Why it cannot run pods although it answers; its network is not ready, say. */
  readonly problem?: string;
}

/** "created": created and never started. */
export type ContainerPhase = "created" | "running" | "exited";

/** A sandbox or a container: `identity.role` says which. */
export interface ContainerSummary {
  readonly id: string;
  readonly identity: ContainerIdentity;
  readonly phase: ContainerPhase;
}

export interface StrayContainer extends ContainerSummary {
  /** The data directory it was made for. */
  readonly dataDir: string;
}

export interface ContainerDetails extends ContainerSummary {
  /** Its id with that of the engine, as pods show it: "docker://<id>" */
  readonly uri: string;
  readonly image: string;
  /** "sha256:…" */
  readonly imageId: string;
  /** As pods show it: "docker://sha256:…", or with the CRI a name with a digest. */
  readonly imageRef: string;
  readonly pid: number;
  readonly startedAtMs: number | undefined;
  readonly finishedAtMs: number | undefined;
  readonly exitCode: number;
  readonly oomKilled: boolean;
  /** Why it could not be started, in the engine's words. */
  readonly error: string;
  /** Addresses of a sandbox's own network; empty for containers and for sandboxes in the host's network. */
  readonly ips: readonly string[];
}

export type RuntimeHint =
  | { readonly kind: "connected" }
  | { readonly kind: "disconnected" }
  | { readonly kind: "container"; readonly id: string; readonly podUid: string; readonly action: string };

/** Codes of the AppErrors a runtime throws, besides those of UnavailableError. */
export type RuntimeCode =
  | "image-not-found"
  | "image-pull"
  | "image-in-use"
  | "container-not-found"
  | "container-conflict"
  | "connect-failed"
  | "engine-refused";

/** Images of the engine, as CRI's `ImageService` has them. Nothing here is bound to an owner: engines share images. */
export interface ImageService {
  /** CRI `ImageStatus`; undefined when the engine does not have it. */
  findImage(ref: string): Promise<Image | undefined>;
  /** CRI `ListImages`. */
  listImages(): Promise<readonly Image[]>;
  /**
   * CRI `PullImage`: resolves when the image is complete in the engine.
   * @throws AppError "image-pull" with the engine's reason
   */
  pullImage(ref: string, options: PullOptions): Promise<void>;
  /**
   * CRI `RemoveImage`, with all names; one that does not exist is no error.
   * @throws AppError "image-in-use" while a container, of anyone, is made from it
   */
  removeImage(id: string): Promise<void>;
  /** CRI `ImageFsInfo`: the file system images are on; undefined when it is not one of this machine. */
  imageFs(): Promise<FileSystemUsage | undefined>;
  /** Ids of the images that containers are made from, in any state and of any owner. */
  usedImages(): Promise<ReadonlySet<string>>;
  /** What CRI does not have; undefined for an engine that is spoken to through it. */
  readonly imageStore?: ImageStore | undefined;
}

/** Names and archives of images. */
export interface ImageStore {
  /** Gives an image another name, and takes that from the image that had it. */
  tag(ref: string, name: string): Promise<void>;
  /** Removes a name; the image goes when it was the last one. A name that does not exist is no error. */
  untag(name: string): Promise<void>;
  /**
   * Loads an archive as `docker save` writes it, in any form and compression the engine reads.
   * @returns names of the images, or ids of those without a name
   * @throws AppError "engine-refused" with the engine's reason
   */
  load(archive: AsyncIterable<Uint8Array>, options?: EngineCallOptions): Promise<readonly string[]>;
}

export interface FileSystemUsage {
  readonly capacityBytes: number;
  /** What can be written yet. */
  readonly availableBytes: number;
  /** 0 where the file system does not count them; absent where the engine does not say. */
  readonly inodes?: number;
  readonly freeInodes?: number;
}

export interface PullOptions extends EngineCallOptions {
  /** Absent: anonymous. */
  readonly auth?: RegistryAuth | undefined;
  /** A pull without progress for so long has failed; that of the engine when absent, or when it reports no progress. */
  readonly idleMs?: number;
  /** Called as it goes on; engines that are spoken to through CRI never call it. */
  readonly onProgress?: ((progress: PullProgress) => void) | undefined;
}

export interface PullProgress {
  readonly doneBytes: number;
  /** Of the layers whose size is known by now. */
  readonly totalBytes: number;
}

/** CRI `AuthConfig`. */
export interface RegistryAuth {
  readonly username?: string;
  readonly password?: string;
  readonly serveraddress?: string;
  readonly identitytoken?: string;
}

export interface Image {
  /** "sha256:…" */
  readonly id: string;
  readonly names: readonly string[];
  readonly sizeBytes: number;
  /** Never removed to free space, as CRI's `pinned`: what sandboxes run. */
  readonly pinned?: boolean;
  /** `USER` of the image ("", "app", "1000:1000"); only `findImage` reads it. */
  readonly user?: string;
}

/** An image reference with its tag or digest; "latest" when it has neither. */
export function withTag(ref: string): string {
  if (ref.includes("@")) return ref;
  const last = ref.slice(ref.lastIndexOf("/") + 1);
  return last.includes(":") ? ref : `${ref}:latest`;
}
