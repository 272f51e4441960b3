export { contentDigest, gateConditions, runtimeHandlerField, serviceLinksField } from "./digest.ts";
export {
  formatLabelSelector,
  hasLabels,
  isEmptySelector,
  matchesLabelSelector,
  meetsLabelExpressions,
  parseLabelSelector,
  type LabelExpression,
  type LabelRequirement,
  type LabelSelector,
} from "./label-selector.ts";
export {
  apiVersionOf,
  compareVersions,
  objectKey,
  withoutManagedFields,
  type Condition,
  type ConfigMap,
  type Event,
  type KubeObject,
  type Lease,
  type ObjectMeta,
  type ObjectReference,
  type OwnerReference,
  type Secret,
  type Status,
} from "./meta.ts";
export type {
  Affinity,
  Container,
  EphemeralContainer,
  ContainerState,
  ContainerStatus,
  EnvVar,
  KeyToPath,
  NodeSelectorTerm,
  Pod,
  PodAffinityTerm,
  PodSecurityContext,
  SecurityContext,
  SecurityProfile,
  PodPhase,
  PodSpec,
  PodStatus,
  Probe,
  Toleration,
  TopologySpreadConstraint,
  Volume,
} from "./pod.ts";
export { validateDevice, validateDeviceModel, type DeviceCause } from "./device-rules.ts";
export type {
  Device,
  DeviceModel,
  DeviceProperty,
  DeviceSpec,
  DeviceStatus,
  DeviceTwinStatus,
  ModelProperty,
  ProtocolConfig,
  TwinValue,
} from "./device.ts";
export { edgeNodeLabel, nodeLeaseNamespace, type Node, type NodeStatus, type Taint } from "./node.ts";
export {
  isMirrorPod,
  asApiPod,
  configHashAnnotation,
  configSourceAnnotation,
  isStaticPod,
  mirrorAnnotation,
  mirrorFault,
  podReferences,
  type PodReference,
  type PodReferenceKind,
} from "./pod-references.ts";
export { findPodFault, withoutNulls } from "./pod-shape.ts";
export {
  compareQuantities,
  formatQuantity,
  isWhole,
  parseQuantity,
  quantityError,
  quantityNumber,
  type Quantity,
} from "./quantity.ts";
export { failureResponse, type FailureOptions } from "./status-response.ts";
export type { Rule, RuleEndpoint, RuleSpec, RuleStatus } from "./rule.ts";
export type {
  DeviceRule,
  DeviceRuleAction,
  DeviceRuleCondition,
  DeviceRuleSpec,
  DeviceRuleStatus,
} from "./rule.ts";
