import { definitionName, type KindInfo } from "#cloud/kube-api/schema";
import type { JsonObject } from "#shared/json";
import { defaultAutoscaler } from "./autoscaling.ts";
import {
  defaultAdmissionPolicy,
  defaultApiService,
  defaultFlowSchema,
  defaultPolicyBinding,
  defaultPriorityLevel,
  defaultWebhooks,
} from "./cluster-rules.ts";
import {
  defaultCrd,
  defaultEndpointSlice,
  defaultEndpoints,
  defaultEvent,
  defaultLease,
  defaultNamespace,
  defaultNode,
  defaultPersistentVolume,
  defaultPersistentVolumeClaim,
  defaultPodDisruptionBudget,
  defaultPriorityClass,
  defaultRoleBinding,
  defaultSecret,
  defaultService,
} from "./core.ts";
import { defaultLimitRange } from "./limit-ranges.ts";
import { defaultIngress, defaultIngressClass, defaultNetworkPolicy } from "./networking.ts";
import { defaultPod, defaultPodTemplate } from "./pod.ts";
import { defaultCsiDriver, defaultStorageClass, defaultVolumeAttachment } from "./storage.ts";
import {
  defaultCronJob,
  defaultDaemonSet,
  defaultDeployment,
  defaultJob,
  defaultReplicaSet,
  defaultReplicationController,
  defaultStatefulSet,
} from "./workload.ts";

export { qosClassOf, type Qos } from "./pod.ts";
export { admitPod, tolerateOutages, type PodSurroundings } from "./pod-admission.ts";
export { selectJob } from "./workload.ts";

const defaulters: Readonly<Record<string, (object: JsonObject) => void>> = {
  "apiregistration.v1.APIService": defaultApiService,
  "core.v1.LimitRange": defaultLimitRange,
  "core.v1.Namespace": defaultNamespace,
  "core.v1.Node": defaultNode,
  "core.v1.Pod": defaultPod,
  "core.v1.PodTemplate": (object) => {
    const { template } = object;
    if (typeof template === "object" && template !== null && !Array.isArray(template))
      defaultPodTemplate(template);
  },
  "core.v1.Secret": defaultSecret,
  "core.v1.Service": defaultService,
  "core.v1.Endpoints": defaultEndpoints,
  "core.v1.Event": defaultEvent,
  "core.v1.PersistentVolume": defaultPersistentVolume,
  "core.v1.PersistentVolumeClaim": defaultPersistentVolumeClaim,
  "core.v1.ReplicationController": defaultReplicationController,
  "apps.v1.DaemonSet": defaultDaemonSet,
  "apps.v1.Deployment": defaultDeployment,
  "apps.v1.ReplicaSet": defaultReplicaSet,
  "apps.v1.StatefulSet": defaultStatefulSet,
  "admissionregistration.v1.MutatingWebhookConfiguration": defaultWebhooks,
  "admissionregistration.v1.ValidatingAdmissionPolicy": defaultAdmissionPolicy,
  "admissionregistration.v1.ValidatingAdmissionPolicyBinding": defaultPolicyBinding,
  "admissionregistration.v1.ValidatingWebhookConfiguration": defaultWebhooks,
  "autoscaling.v2.HorizontalPodAutoscaler": defaultAutoscaler,
  "batch.v1.CronJob": defaultCronJob,
  "batch.v1.Job": defaultJob,
  "coordination.v1.Lease": defaultLease,
  "discovery.v1.EndpointSlice": defaultEndpointSlice,
  "flowcontrol.v1.FlowSchema": defaultFlowSchema,
  "flowcontrol.v1.PriorityLevelConfiguration": defaultPriorityLevel,
  "networking.v1.Ingress": defaultIngress,
  "networking.v1.IngressClass": defaultIngressClass,
  "networking.v1.NetworkPolicy": defaultNetworkPolicy,
  "policy.v1.PodDisruptionBudget": defaultPodDisruptionBudget,
  "rbac.v1.ClusterRoleBinding": defaultRoleBinding,
  "rbac.v1.RoleBinding": defaultRoleBinding,
  "scheduling.v1.PriorityClass": defaultPriorityClass,
  "storage.v1.CSIDriver": defaultCsiDriver,
  "storage.v1.StorageClass": defaultStorageClass,
  "storage.v1.VolumeAttachment": defaultVolumeAttachment,
  "apiextensions.v1.CustomResourceDefinition": defaultCrd,
};

/** Fills in the defaults of a decoded object of a builtin kind, in place, after pkg/apis/<group>/v1/defaults.go. */
export function applyDefaults(kind: KindInfo, object: JsonObject): void {
  if (kind.custom === undefined) defaulters[definitionName(kind)]?.(object);
}
