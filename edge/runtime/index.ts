export type {
  ContainerDetails,
  ContainerPhase,
  ContainerRuntime,
  ContainerSummary,
  EngineInfo,
  PodProcesses,
  RuntimeCode,
  RuntimeHint,
  StrayContainer,
} from "./container-runtime.ts";
export { withTag } from "./container-runtime.ts";
export type {
  FileSystemUsage,
  Image,
  ImageService,
  ImageStore,
  PullOptions,
  PullProgress,
  RegistryAuth,
} from "./container-runtime.ts";
export {
  containerName,
  fromLabels,
  isOwnerOf,
  labelNames,
  ownerOf,
  toLabels,
  type ContainerOwner,
} from "./labels.ts";
export type {
  ContainerIdentity,
  ContainerResources,
  ContainerSpec,
  DeviceAccess,
  Dns,
  Mount,
  PodNetwork,
  PortBinding,
  SandboxSpec,
  SeccompProfile,
} from "./specs.ts";
export type {
  AttachRequest,
  EngineCallOptions,
  CommandResult,
  ExecRequest,
  ExecStream,
  LogOptions,
  OutputChunk,
  PodConnection,
  ProcessStream,
  RunOptions,
  StreamService,
  TerminalSize,
} from "./streams.ts";
export { readResult } from "./streams.ts";
export type { ContainerDiskUsage, ContainerUsage } from "#edge/runtime/usage";
