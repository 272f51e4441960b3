/**
 * The messages of `api.proto.txt` as JavaScript objects. Fields of a request may be left out; in an answer only messages may be
 * missing (null), everything else has at least its default.
 */
type Texts = Readonly<Record<string, string>>;

export interface SandboxConfig {
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly namespace: string;
    readonly attempt: number;
  };
  readonly hostname?: string;
  readonly logDirectory: string;
  readonly dnsConfig?: {
    readonly servers: readonly string[];
    readonly searches: readonly string[];
    readonly options: readonly string[];
  };
  readonly portMappings?: readonly PortMapping[];
  readonly labels: Texts;
  readonly annotations: Texts;
  readonly linux: {
    readonly cgroupParent: string;
    readonly securityContext: {
      readonly namespaceOptions: NamespaceOptions;
      readonly privileged: boolean;
      readonly seccomp: SecurityProfile;
    };
    readonly sysctls: Texts;
  };
}

export interface PortMapping {
  readonly protocol: "TCP" | "UDP" | "SCTP";
  readonly containerPort: number;
  readonly hostPort: number;
  readonly hostIp: string;
}

export type NamespaceMode = "POD" | "CONTAINER" | "NODE" | "TARGET";

export interface NamespaceOptions {
  readonly network: NamespaceMode;
  readonly pid: NamespaceMode;
  readonly ipc: NamespaceMode;
  readonly targetId?: string;
}

export interface SecurityProfile {
  readonly profileType: "RuntimeDefault" | "Unconfined" | "Localhost";
  readonly localhostRef?: string;
}

export interface ContainerConfig {
  readonly metadata: { readonly name: string; readonly attempt: number };
  readonly image: ImageSpec;
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  readonly workingDir?: string;
  readonly envs: readonly { readonly key: string; readonly value: string }[];
  readonly mounts: readonly ContainerMount[];
  readonly devices?: readonly {
    readonly containerPath: string;
    readonly hostPath: string;
    readonly permissions: string;
  }[];
  readonly labels: Texts;
  /** Below `logDirectory` of the sandbox. */
  readonly logPath: string;
  readonly stdin: boolean;
  readonly stdinOnce: boolean;
  readonly tty: boolean;
  readonly linux: { readonly resources: Resources; readonly securityContext: SecurityContext };
}

export interface ContainerMount {
  readonly containerPath: string;
  readonly hostPath: string;
  readonly readonly: boolean;
  readonly propagation: "PROPAGATION_PRIVATE" | "PROPAGATION_HOST_TO_CONTAINER" | "PROPAGATION_BIDIRECTIONAL";
}

export interface Resources {
  readonly cpuPeriod?: number;
  readonly cpuQuota?: number;
  readonly cpuShares?: number;
  readonly memoryLimitInBytes?: number;
  readonly memorySwapLimitInBytes?: number;
  readonly oomScoreAdj?: number;
}

export interface SecurityContext {
  readonly capabilities: {
    readonly addCapabilities: readonly string[];
    readonly dropCapabilities: readonly string[];
  };
  readonly privileged: boolean;
  readonly namespaceOptions: NamespaceOptions;
  readonly selinuxOptions?: {
    readonly user?: string;
    readonly role?: string;
    readonly type?: string;
    readonly level?: string;
  };
  readonly runAsUser?: { readonly value: number };
  readonly runAsUsername?: string;
  readonly runAsGroup?: { readonly value: number };
  readonly readonlyRootfs: boolean;
  readonly supplementalGroups: readonly number[];
  readonly noNewPrivs: boolean;
  readonly maskedPaths: readonly string[];
  readonly readonlyPaths: readonly string[];
  readonly seccomp: SecurityProfile;
  readonly apparmor?: SecurityProfile;
}

export interface ImageSpec {
  readonly image: string;
}

export interface SandboxItem {
  readonly id: string;
  readonly state: "SANDBOX_READY" | "SANDBOX_NOTREADY";
  readonly labels: Texts;
}

/** Times in nanoseconds since 1970. */
export interface SandboxStatus extends SandboxItem {
  readonly createdAt: number;
  readonly network: {
    readonly ip: string;
    readonly additionalIps: readonly { readonly ip: string }[];
  } | null;
  readonly linux: { readonly namespaces: { readonly options: NamespaceOptions | null } | null } | null;
}

export type ContainerState =
  "CONTAINER_CREATED" | "CONTAINER_RUNNING" | "CONTAINER_EXITED" | "CONTAINER_UNKNOWN";

export interface ContainerItem {
  readonly id: string;
  readonly podSandboxId: string;
  readonly image: ImageSpec | null;
  /** A name with a digest, or the id of the image. */
  readonly imageRef: string;
  /** Empty for engines before Kubernetes 1.29. */
  readonly imageId: string;
  readonly state: ContainerState;
  readonly labels: Texts;
}

/** Times in nanoseconds since 1970; 0 for never. */
export interface ContainerStatus extends Omit<ContainerItem, "podSandboxId"> {
  readonly startedAt: number;
  readonly finishedAt: number;
  readonly exitCode: number;
  readonly reason: string;
  readonly message: string;
  readonly logPath: string;
}

export interface CriImage {
  readonly id: string;
  readonly repoTags: readonly string[];
  readonly repoDigests: readonly string[];
  readonly size: number;
  readonly uid: { readonly value: number } | null;
  readonly username: string;
  readonly pinned: boolean;
}

export interface ImageAuth {
  readonly username?: string;
  readonly password?: string;
  readonly serverAddress?: string;
  readonly identityToken?: string;
}

export interface EngineCondition {
  readonly type: string;
  readonly status: boolean;
  readonly reason: string;
  readonly message: string;
}

interface CountedBytes {
  readonly value: number;
}

export interface ContainerStats {
  readonly cpu: { readonly usageCoreNanoSeconds: CountedBytes | null } | null;
  readonly memory: {
    readonly workingSetBytes: CountedBytes | null;
    readonly usageBytes: CountedBytes | null;
    readonly rssBytes: CountedBytes | null;
  } | null;
  readonly writableLayer: { readonly usedBytes: CountedBytes | null } | null;
}

export interface ContainerEvent {
  readonly containerId: string;
  readonly containerEventType:
    | "CONTAINER_CREATED_EVENT"
    | "CONTAINER_STARTED_EVENT"
    | "CONTAINER_STOPPED_EVENT"
    | "CONTAINER_DELETED_EVENT";
  readonly podSandboxStatus: SandboxStatus | null;
}

type Nothing = Readonly<Record<string, never>>;
interface SandboxId {
  readonly podSandboxId: string;
}
interface ContainerId {
  readonly containerId: string;
}
/** More about one thing, as the engine puts it: texts of JSON by name. */
interface Verbose {
  readonly info: Texts;
}

/** By method: what is asked and what is answered. */
export interface CriMethods {
  readonly Version: [
    { readonly version?: string },
    { readonly runtimeName: string; readonly runtimeVersion: string; readonly runtimeApiVersion: string },
  ];
  readonly Status: [
    { readonly verbose?: boolean },
    Verbose & { readonly status: { readonly conditions: readonly EngineCondition[] } | null },
  ];
  readonly RuntimeConfig: [
    Nothing,
    { readonly linux: { readonly cgroupDriver: "SYSTEMD" | "CGROUPFS" } | null },
  ];
  readonly RunPodSandbox: [{ readonly config: SandboxConfig; readonly runtimeHandler?: string }, SandboxId];
  readonly StopPodSandbox: [SandboxId, Nothing];
  readonly RemovePodSandbox: [SandboxId, Nothing];
  readonly PodSandboxStatus: [
    SandboxId & { readonly verbose?: boolean },
    Verbose & { readonly status: SandboxStatus | null },
  ];
  readonly ListPodSandbox: [
    { readonly filter?: { readonly labelSelector: Texts } },
    { readonly items: readonly SandboxItem[] },
  ];
  readonly CreateContainer: [
    SandboxId & { readonly config: ContainerConfig; readonly sandboxConfig: SandboxConfig },
    ContainerId,
  ];
  readonly StartContainer: [ContainerId, Nothing];
  readonly StopContainer: [ContainerId & { readonly timeout: number }, Nothing];
  readonly RemoveContainer: [ContainerId, Nothing];
  readonly ListContainers: [
    { readonly filter?: { readonly id?: string; readonly labelSelector?: Texts } },
    { readonly containers: readonly ContainerItem[] },
  ];
  readonly ContainerStatus: [
    ContainerId & { readonly verbose?: boolean },
    Verbose & { readonly status: ContainerStatus | null },
  ];
  readonly ContainerStats: [ContainerId, { readonly stats: ContainerStats | null }];
  readonly UpdateContainerResources: [ContainerId & { readonly linux: Resources }, Nothing];
  readonly ReopenContainerLog: [ContainerId, Nothing];
  readonly ExecSync: [
    ContainerId & { readonly cmd: readonly string[]; readonly timeout?: number },
    { readonly stdout: Uint8Array; readonly stderr: Uint8Array; readonly exitCode: number },
  ];
  readonly Exec: [ContainerId & Streams & { readonly cmd: readonly string[] }, { readonly url: string }];
  readonly Attach: [ContainerId & Streams, { readonly url: string }];
  readonly GetContainerEvents: [Nothing, ContainerEvent];
  readonly ListImages: [Nothing, { readonly images: readonly CriImage[] }];
  readonly ImageStatus: [
    { readonly image: ImageSpec; readonly verbose?: boolean },
    Verbose & { readonly image: CriImage | null },
  ];
  readonly PullImage: [
    { readonly image: ImageSpec; readonly auth?: ImageAuth; readonly sandboxConfig?: SandboxConfig },
    { readonly imageRef: string },
  ];
  readonly RemoveImage: [{ readonly image: ImageSpec }, Nothing];
  readonly ImageFsInfo: [
    Nothing,
    { readonly imageFilesystems: readonly { readonly fsId: { readonly mountpoint: string } | null }[] },
  ];
}

interface Streams {
  readonly tty: boolean;
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
}

export type CriMethod = keyof CriMethods;
export type CriRequest<M extends CriMethod> = CriMethods[M][0];
export type CriAnswer<M extends CriMethod> = CriMethods[M][1];
