export type {
  CallOptions,
  ContainerDetails,
  ContainerPhase,
  ContainerRuntime,
  ContainerSpec,
  ContainerSummary,
  Dns,
  EngineInfo,
  ExecOptions,
  ExecResult,
  Identity,
  Image,
  Mount,
  Network,
  PortBinding,
  PullOptions,
  RegistryAuth,
  RuntimeCode,
  RuntimeHint,
  StrayContainer,
} from "./container-runtime.ts";
export { ownerOf } from "./identity.ts";
export { openDockerRuntime, type DockerRuntimeOptions } from "./docker.ts";
