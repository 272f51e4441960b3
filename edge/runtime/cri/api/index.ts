/** The Container Runtime Interface on the wire: messages, calls, and errors. */
export { CriCalls, type CallOptions } from "./calls.ts";
export { readReason, toRuntimeError } from "./error.ts";
export type {
  ContainerConfig,
  ContainerEvent,
  ContainerItem,
  ContainerMount,
  ContainerState,
  ContainerStats,
  ContainerStatus,
  CriAnswer,
  CriImage,
  EngineCondition,
  ImageAuth,
  NamespaceMode,
  NamespaceOptions,
  PortMapping,
  Resources,
  SandboxConfig,
  SandboxItem,
  SandboxStatus,
  SecurityContext,
  SecurityProfile,
} from "./messages.ts";
