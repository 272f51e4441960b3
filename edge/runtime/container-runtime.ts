/**
 * What edged needs of a container engine, in our words. Every call rejects with UnavailableError while the engine is
 * away and works again by itself once it is back; a container or image that is not there is told apart by
 * its code (see `RuntimeCode`). One runtime only sees containers of its own owner, `listStrays` apart.
 */
export interface ContainerRuntime extends AsyncDisposable {
  /** Asks the engine who it is; also the check that it is there. */
  info(options?: CallOptions): Promise<EngineInfo>;

  findImage(ref: string): Promise<Image | undefined>;
  listImages(): Promise<readonly Image[]>;
  /** Resolves when the image is complete in the engine. */
  pullImage(ref: string, options: PullOptions): Promise<void>;
  /** Makes sure the image that holds a pod's namespaces is there. @returns its id */
  ensurePauseImage(): Promise<string>;

  /** @returns the id of a container that was made and not started */
  create(spec: ContainerSpec): Promise<string>;
  /** Starting a started container is no error. */
  start(id: string): Promise<void>;
  /** Asks the container to end and kills it after `graceSeconds`; resolves when it ended or is not there. */
  stop(id: string, graceSeconds: number): Promise<void>;
  /** Removes the container by force; one that is not there is no error. */
  remove(id: string): Promise<void>;
  /** Own containers, of one pod or of all, in any state. */
  list(podUid?: string): Promise<readonly ContainerSummary[]>;
  /** Containers that other data directories of this node made, in any state. */
  listStrays(): Promise<readonly StrayContainer[]>;
  inspect(id: string): Promise<ContainerDetails | undefined>;
  /** Runs a command in a running container and waits for its end. */
  exec(id: string, command: readonly string[], options: ExecOptions): Promise<ExecResult>;

  /**
   * Hints that something happened to own containers, or that the engine came or went. Hints may be lost, late or
   * doubled: the list is the truth. Reconnects by itself until disposed.
   */
  watch(hear: (hint: RuntimeHint) => void): Disposable;
}

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

export interface EngineInfo {
  /** "docker" */
  readonly name: string;
  readonly version: string;
}

export interface PullOptions extends CallOptions {
  /** Texts of `.dockerconfigjson` (or `.dockercfg`); the first that knows the image's registry is used. */
  readonly dockerConfigs: readonly string[];
}

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
  /** As the image says it ("", "app", "1000:1000"); only known of one that was looked for. */
  readonly user?: string;
}

/** Who a container is; kept in its labels, so that it is found again after any restart. */
export interface Identity {
  readonly podName: string;
  readonly podNamespace: string;
  readonly podUid: string;
  /** Name of the container in the pod's spec; "POD" for the sandbox. */
  readonly container: string;
  readonly role: "sandbox" | "init" | "container";
  /** Restart count of the container at its creation. */
  readonly attempt: number;
  readonly specHash: string;
  /** Id of the sandbox it was made for; empty for a sandbox. */
  readonly sandboxId: string;
  readonly graceSeconds: number;
}

export interface PortBinding {
  readonly containerPort: number;
  readonly hostPort: number;
  readonly hostIp: string;
  readonly protocol: "tcp" | "udp" | "sctp";
}

/** How a container reaches the network: it shares a sandbox's, or the host's, or is the sandbox and has its own. */
export type Network =
  | { readonly kind: "sandbox"; readonly id: string }
  | { readonly kind: "host" }
  | { readonly kind: "own"; readonly hostname: string; readonly ports: readonly PortBinding[] };

export interface Dns {
  readonly servers: readonly string[];
  readonly searches: readonly string[];
  readonly options: readonly string[];
}

export interface Mount {
  readonly source: string;
  readonly target: string;
  readonly readOnly: boolean;
  readonly propagation?: "rprivate" | "rslave" | "rshared";
}

export interface ContainerSpec {
  readonly identity: Identity;
  readonly image: string;
  /** Absent: the image's own. */
  readonly command?: readonly string[];
  /** Absent: the image's own, unless `command` is given. */
  readonly args?: readonly string[];
  readonly env: readonly string[];
  readonly workingDir?: string;
  readonly user?: string;
  readonly supplementalGroups: readonly string[];
  readonly tty: boolean;
  readonly stdin: boolean;
  readonly stdinOnce: boolean;
  readonly network: Network;
  readonly dns?: Dns;
  /** "name:ip" */
  readonly extraHosts: readonly string[];
  readonly sysctls: Readonly<Record<string, string>>;
  /** Id of the container whose IPC namespace is shared. */
  readonly ipcFrom?: string;
  /** "host" to share the host's, an id to share a container's. */
  readonly pidFrom?: string;
  readonly hostIpc: boolean;
  readonly mounts: readonly Mount[];
  readonly cpuShares?: number;
  readonly nanoCpus?: number;
  readonly memoryBytes?: number;
  readonly shmBytes?: number;
  readonly oomScoreAdj?: number;
  readonly privileged: boolean;
  readonly readOnlyRoot: boolean;
  readonly noNewPrivileges: boolean;
  readonly capAdd: readonly string[];
  readonly capDrop: readonly string[];
  /** "unconfined", or the text of a profile; absent: the engine's own profile. */
  readonly seccomp?: string;
  /** "unconfined", or the name of a loaded profile; absent: the engine's own profile. */
  readonly appArmor?: string;
  /** "user:…", "role:…", "type:…" and "level:…" of SELinux. */
  readonly selinux?: readonly string[];
}

/** "created": made and never started. */
export type ContainerPhase = "created" | "running" | "exited";

export interface ContainerSummary {
  readonly id: string;
  readonly identity: Identity;
  readonly phase: ContainerPhase;
}

export interface StrayContainer extends ContainerSummary {
  /** The data directory it was made for. */
  readonly dataDir: string;
}

export interface ContainerDetails extends ContainerSummary {
  readonly image: string;
  /** "sha256:…" */
  readonly imageId: string;
  readonly pid: number;
  readonly startedAtMs: number | undefined;
  readonly finishedAtMs: number | undefined;
  readonly exitCode: number;
  readonly oomKilled: boolean;
  /** Why it could not be started, in the engine's words. */
  readonly error: string;
  /** Addresses of the container's own network; empty when it has none. */
  readonly ips: readonly string[];
}

export interface ExecOptions extends CallOptions {
  /** Output beyond is dropped. */
  readonly maxOutputBytes: number;
}

export interface ExecResult {
  readonly exitCode: number;
  readonly output: string;
}

export type RuntimeHint =
  | { readonly kind: "connected" }
  | { readonly kind: "away" }
  | { readonly kind: "container"; readonly id: string; readonly podUid: string; readonly action: string };

/** Codes of the AppErrors a runtime throws, besides those of UnavailableError. */
export type RuntimeCode =
  "image-not-found" | "image-pull" | "container-not-found" | "container-conflict" | "engine-refused";
