/** Who a sandbox or container is; kept in its labels, so that it is found again after any restart. */
export interface ContainerIdentity {
  readonly podName: string;
  readonly podNamespace: string;
  readonly podUid: string;
  /** Name of the container in the pod's spec; "POD" for the sandbox. */
  readonly container: string;
  readonly role: "sandbox" | "init" | "container" | "ephemeral";
  /** Restart count of the container at its creation. */
  readonly attempt: number;
  readonly specHash: string;
  /** Id of the sandbox it was created for; empty for a sandbox. */
  readonly sandboxId: string;
  readonly graceSeconds: number;
}

/** What holds a pod's network and IPC namespaces: CRI's PodSandboxConfig. */
export interface SandboxSpec {
  readonly identity: ContainerIdentity;
  readonly network: PodNetwork;
  /** Undefined: the engine's own resolver. */
  readonly dns?: Dns;
  readonly sysctls: Readonly<Record<string, string>>;
  /** Whether the pod shares the host's IPC namespace. */
  readonly hostIpc: boolean;
  /** Whose processes the containers see: their own, those of the pod, or the host's. */
  readonly pid: "container" | "pod" | "host";
  /** Whether one of the containers is privileged: engines of the CRI run none in a sandbox that is not. */
  readonly privileged: boolean;
  /** Docker's runtime, or the CRI's runtime handler; absent: the engine's default. */
  readonly runtimeHandler?: string;
}

/** How a pod reaches the network: in the host's, or in one of its own that the sandbox holds. */
export type PodNetwork =
  | { readonly kind: "host" }
  | { readonly kind: "own"; readonly hostname: string; readonly ports: readonly PortBinding[] };

export interface PortBinding {
  readonly containerPort: number;
  readonly hostPort: number;
  readonly hostIp: string;
  readonly protocol: "tcp" | "udp" | "sctp";
}

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
  /** Where the source is one of the host that the pod names, that path: processes have to be able to reach it themselves. */
  readonly hostPath?: string;
}

/** A device of the host in a container; `permissions` of the letters r, w and m (mknod). */
export interface DeviceAccess {
  readonly hostPath: string;
  readonly containerPath: string;
  readonly permissions: string;
}

/** What can be changed in a container that runs. */
export interface ContainerResources {
  /** Weight against others; a core is 1024. */
  readonly cpuShares?: number;
  readonly nanoCpus?: number;
  readonly memoryBytes?: number;
}

/** A container that joins the network of the sandbox `identity.sandboxId`: CRI's ContainerConfig. */
export interface ContainerSpec extends ContainerResources {
  readonly identity: ContainerIdentity;
  /** That of its sandbox, as it was run: the CRI asks for it again. */
  readonly sandbox: SandboxSpec;
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
  /** Whose IPC namespace it uses, as CRI's NamespaceMode. */
  readonly ipc: "pod" | "host";
  /** Whose PID namespace it uses: its own, the sandbox's, the host's, or that of another container. */
  readonly pid: "container" | "pod" | "host" | { readonly ofContainer: string };
  readonly mounts: readonly Mount[];
  /** Devices of the host it may use. */
  readonly devices?: readonly DeviceAccess[];
  readonly oomScoreAdj?: number;
  /** Processes and threads at most. */
  readonly pidsLimit?: number;
  readonly privileged: boolean;
  readonly readOnlyRoot: boolean;
  readonly noNewPrivileges: boolean;
  readonly capAdd: readonly string[];
  readonly capDrop: readonly string[];
  /** Absent: the engine's own profile. */
  readonly seccomp?: "unconfined" | SeccompProfile;
  /** "unconfined", or the name of a loaded profile; absent: the engine's own profile. */
  readonly appArmor?: string;
  /** "user:…", "role:…", "type:…" and "level:…" of SELinux. */
  readonly selinux?: readonly string[];
}

/** A seccomp profile of this node: some engines take its text, others read the file. */
export interface SeccompProfile {
  readonly path: string;
  /** JSON */
  readonly text: string;
}
