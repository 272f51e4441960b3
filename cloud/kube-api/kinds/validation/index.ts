import {
  broughtErrors,
  validateMetadata,
  validateMetadataUpdate,
} from "#cloud/kube-api/kinds/validation/basics";
import { definitionName, type FieldError, type KindInfo } from "#cloud/kube-api/schema";
import type { JsonObject } from "#shared/json";
import { validateLimitRange, validatePriorityClass, validateResourceQuota } from "./amounts.ts";
import {
  validateApiService,
  validateAutoscaler,
  validateFlowSchema,
  validatePriorityLevel,
  validateWebhooks,
} from "./cluster-rules.ts";
import {
  validateConfigMap,
  validateEndpointSlice,
  validateEndpoints,
  validateEvent,
  validateLease,
  validateNode,
  validatePodDisruptionBudget,
  validateRole,
  validateRoleBinding,
  validateSecret,
} from "./core.ts";
import {
  validateIngress,
  validateIngressClass,
  validateNetworkPolicy,
  validateRuntimeClass,
} from "./networking.ts";
import {
  validateGatedNode,
  validatePodSpec,
  validatePodTemplate,
} from "#cloud/kube-api/kinds/validation/pods";
import {
  validateCsiDriver,
  validateCsiNode,
  validateStorageCapacity,
  validateStorageClass,
  validateVolumeAttachment,
} from "./storage.ts";
import { validateService } from "./services.ts";
import { updateRules } from "./update.ts";
import { validateClaim, validatePersistentVolume } from "./volumes.ts";
import {
  notNegative,
  validateDaemonSet,
  validateDeployment,
  validateReplicaSet,
  validateReplicationController,
  validateStatefulSet,
} from "./workload.ts";

export {
  duplicate,
  forbidden,
  invalid,
  notFound,
  notSupported,
  required,
  tooLong,
  tooMany,
} from "#cloud/kube-api/kinds/validation/basics";
export { dns1035Label, dnsLabel, dnsSubdomain, qualifiedName } from "#cloud/kube-api/kinds/validation/basics";
export { validateMetadata } from "#cloud/kube-api/kinds/validation/basics";
export {
  refuseEphemeralContainers,
  validateEphemeralContainers,
  validateResize,
  validateMirrorUpdate,
  validatePodTemplate,
} from "#cloud/kube-api/kinds/validation/pods";
export { labelSelectorOf, validateSelector } from "#cloud/kube-api/kinds/validation/basics";
export { validateNodeStatus } from "./core.ts";
export { broughtErrors } from "#cloud/kube-api/kinds/validation/basics";
export { validateClient, validateRule } from "./cluster-rules.ts";
export { warningsOf } from "./warnings.ts";
export { notNegative } from "./workload.ts";

const validators: Readonly<Record<string, (object: JsonObject) => FieldError[]>> = {
  "core.v1.ConfigMap": validateConfigMap,
  "core.v1.Endpoints": validateEndpoints,
  "core.v1.Event": validateEvent,
  "core.v1.LimitRange": validateLimitRange,
  "core.v1.Node": validateNode,
  "core.v1.PersistentVolume": validatePersistentVolume,
  "core.v1.PersistentVolumeClaim": validateClaim,
  "core.v1.Pod": (object) => [
    ...validatePodSpec(specOf(object), "spec"),
    ...validateGatedNode(specOf(object)),
  ],
  "core.v1.PodTemplate": (object) => validatePodTemplate(object, "template"),
  "core.v1.ReplicationController": validateReplicationController,
  "core.v1.ResourceQuota": validateResourceQuota,
  "core.v1.Secret": validateSecret,
  "core.v1.Service": validateService,
  "apps.v1.ControllerRevision": (object) => notNegative(object, ["revision"], ""),
  "apps.v1.DaemonSet": validateDaemonSet,
  "apps.v1.Deployment": validateDeployment,
  "apps.v1.ReplicaSet": validateReplicaSet,
  "apps.v1.StatefulSet": validateStatefulSet,
  "admissionregistration.v1.MutatingWebhookConfiguration": validateWebhooks,
  "admissionregistration.v1.ValidatingWebhookConfiguration": validateWebhooks,
  "apiregistration.v1.APIService": validateApiService,
  "autoscaling.v2.HorizontalPodAutoscaler": validateAutoscaler,
  "coordination.v1.Lease": validateLease,
  "discovery.v1.EndpointSlice": validateEndpointSlice,
  "flowcontrol.v1.FlowSchema": validateFlowSchema,
  "flowcontrol.v1.PriorityLevelConfiguration": validatePriorityLevel,
  "networking.v1.Ingress": validateIngress,
  "networking.v1.IngressClass": validateIngressClass,
  "networking.v1.NetworkPolicy": validateNetworkPolicy,
  "node.v1.RuntimeClass": validateRuntimeClass,
  "policy.v1.PodDisruptionBudget": validatePodDisruptionBudget,
  "rbac.v1.ClusterRole": validateRole,
  "rbac.v1.ClusterRoleBinding": (object) => validateRoleBinding(object, ["ClusterRole"]),
  "rbac.v1.Role": validateRole,
  "rbac.v1.RoleBinding": (object) => validateRoleBinding(object),
  "scheduling.v1.PriorityClass": validatePriorityClass,
  "storage.v1.CSIDriver": validateCsiDriver,
  "storage.v1.CSINode": validateCsiNode,
  "storage.v1.CSIStorageCapacity": validateStorageCapacity,
  "storage.v1.StorageClass": validateStorageClass,
  "storage.v1.VolumeAttachment": validateVolumeAttachment,
};

/** Errors of a new, defaulted object, after pkg/apis/<group>/validation; of custom kinds only the metadata is validated here. */
export function validateObject(kind: KindInfo, object: JsonObject): FieldError[] {
  const errors = validateMetadata(kind, object);
  const validate = kind.custom === undefined ? validators[definitionName(kind)] : undefined;
  return validate === undefined ? errors : [...errors, ...validate(object)];
}

/** Errors of an update, those that it brings to the object included. */
export function validateChange(kind: KindInfo, next: JsonObject, current: JsonObject): FieldError[] {
  const rule = kind.custom === undefined ? updateRules[definitionName(kind)] : undefined;
  const changes = [...validateMetadataUpdate(next, current), ...(rule?.(next, current) ?? [])];
  const isEvent = definitionName(kind) === "core.v1.Event";
  const brought = broughtErrors(next, current, (object) =>
    isEvent ? validateEvent(object) : validateObject(kind, object),
  );
  return [...changes, ...brought.filter((error) => !changes.some((one) => one.field === error.field))];
}

function specOf(object: JsonObject): JsonObject {
  const { spec } = object;
  return typeof spec === "object" && spec !== null && !Array.isArray(spec) ? spec : {};
}
