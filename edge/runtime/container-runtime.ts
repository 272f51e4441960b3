import type { ImageService } from "./image-service.ts";
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
