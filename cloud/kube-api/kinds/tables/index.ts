import { toStored } from "#cloud/kube-api/kinds/conversions";
import { definitionName, type KindInfo, type PrinterColumn } from "#cloud/kube-api/schema";
import { childOf, textOf, type Json, type JsonObject } from "#shared/json";
import { namedLast, printerColumns } from "./columns.ts";
import {
  admissionPolicyCells,
  apiServiceCells,
  autoscalerCells,
  csiDriverCells,
  csiNodeCells,
  flowSchemaCells,
  ingressCells,
  ingressClassCells,
  networkPolicyCells,
  policyBindingCells,
  priorityLevelCells,
  runtimeClassCells,
  signingRequestCells,
  storageCapacityCells,
  storageClassCells,
  volumeAttachmentCells,
  webhookCells,
} from "./cluster-cells.ts";
import {
  claimCells,
  configMapCells,
  disruptionBudgetCells,
  endpointSliceCells,
  endpointsCells,
  eventCells,
  leaseCells,
  namespaceCells,
  nodeCells,
  persistentVolumeCells,
  priorityClassCells,
  resourceQuotaCells,
  roleBindingCells,
  secretCells,
  serviceAccountCells,
  serviceCells,
} from "./core-cells.ts";
import { findByPath } from "./json-path.ts";
import {
  controllerRevisionCells,
  cronJobCells,
  daemonSetCells,
  deploymentCells,
  jobCells,
  podTemplateCells,
  replicaSetCells,
  replicationControllerCells,
  statefulSetCells,
} from "./workload-cells.ts";
import { ageSince, podCells } from "#shared/tables";

export { humanDuration } from "#shared/tables";
export { tableColumns, type TableColumn } from "./columns.ts";
export { findByPath } from "./json-path.ts";

const printers: Readonly<Record<string, (object: JsonObject, nowMs: number) => Json[]>> = {
  "core.v1.ConfigMap": configMapCells,
  "core.v1.Endpoints": endpointsCells,
  "core.v1.Event": eventCells,
  "core.v1.Namespace": namespaceCells,
  "core.v1.Node": nodeCells,
  "core.v1.PersistentVolume": persistentVolumeCells,
  "core.v1.PersistentVolumeClaim": claimCells,
  "core.v1.Pod": podCells,
  "core.v1.PodTemplate": podTemplateCells,
  "core.v1.ReplicationController": replicationControllerCells,
  "core.v1.ResourceQuota": resourceQuotaCells,
  "core.v1.Secret": secretCells,
  "core.v1.Service": serviceCells,
  "core.v1.ServiceAccount": serviceAccountCells,
  "apps.v1.ControllerRevision": controllerRevisionCells,
  "apps.v1.DaemonSet": daemonSetCells,
  "apps.v1.Deployment": deploymentCells,
  "apps.v1.ReplicaSet": replicaSetCells,
  "apps.v1.StatefulSet": statefulSetCells,
  "batch.v1.CronJob": cronJobCells,
  "batch.v1.Job": jobCells,
  "coordination.v1.Lease": leaseCells,
  "discovery.v1.EndpointSlice": endpointSliceCells,
  "events.v1.Event": eventCells,
  "policy.v1.PodDisruptionBudget": disruptionBudgetCells,
  "rbac.v1.ClusterRoleBinding": roleBindingCells,
  "rbac.v1.RoleBinding": roleBindingCells,
  "scheduling.v1.PriorityClass": priorityClassCells,
  "admissionregistration.v1.MutatingWebhookConfiguration": webhookCells,
  "admissionregistration.v1.ValidatingAdmissionPolicy": admissionPolicyCells,
  "admissionregistration.v1.ValidatingAdmissionPolicyBinding": policyBindingCells,
  "admissionregistration.v1.ValidatingWebhookConfiguration": webhookCells,
  "apiregistration.v1.APIService": apiServiceCells,
  "autoscaling.v1.HorizontalPodAutoscaler": autoscalerCells,
  "autoscaling.v2.HorizontalPodAutoscaler": autoscalerCells,
  "certificates.v1.CertificateSigningRequest": signingRequestCells,
  "flowcontrol.v1.FlowSchema": flowSchemaCells,
  "flowcontrol.v1.PriorityLevelConfiguration": priorityLevelCells,
  "networking.v1.Ingress": ingressCells,
  "networking.v1.IngressClass": ingressClassCells,
  "networking.v1.NetworkPolicy": networkPolicyCells,
  "node.v1.RuntimeClass": runtimeClassCells,
  "storage.v1.CSIDriver": csiDriverCells,
  "storage.v1.CSINode": csiNodeCells,
  "storage.v1.CSIStorageCapacity": storageCapacityCells,
  "storage.v1.StorageClass": storageClassCells,
  "storage.v1.VolumeAttachment": volumeAttachmentCells,
};

/**
 * The cells of one row of `kubectl get`, in the order of `tableColumns`; ages are counted from `nowMs`. Builtin kinds have a
 * printer each, after pkg/printers/internalversion; custom kinds have the columns of their definition (`tableconvertor.go`).
 */
export function tableCells(kind: KindInfo, object: JsonObject, nowMs: number): Json[] {
  const metadata = childOf(object, "metadata");
  const name = textOf(metadata, "name");
  if (kind.custom !== undefined)
    return [name, ...printerColumns(kind.custom.columns).map((column) => customCell(column, object, nowMs))];
  const definition = definitionName(kind);
  const print = printers[definition];
  if (print === undefined) return [name, textOf(metadata, "creationTimestamp")];
  const cells = print(toStored(kind, object), nowMs);
  return namedLast.has(definition) ? cells : [name, ...cells];
}

function customCell(column: PrinterColumn, object: JsonObject, nowMs: number): Json {
  const [value] = findByPath(column.jsonPath, object);
  return value === undefined ? null : (customPrinters[column.type]?.(value, nowMs) ?? null);
}

/** Cells of a column by its type; null when the value is of another. */
const customPrinters: Readonly<Record<string, (value: Json, nowMs: number) => Json>> = {
  string: (value) => (typeof value === "string" ? value : value === null ? "<nil>" : JSON.stringify(value)),
  integer: (value) => (typeof value === "number" ? Math.trunc(value) : null),
  number: (value) => (typeof value === "number" ? value : null),
  boolean: (value) => (typeof value === "boolean" ? value : null),
  date: (value, nowMs) => (typeof value === "string" ? ageSince(value, nowMs) : null),
};
