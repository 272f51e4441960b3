import {
  childOf,
  ensureChild,
  itemsOf,
  sameMeaning,
  setDefault,
  setDefaultText,
  textOf,
  type JsonObject,
} from "#shared/json";
import { defaultClaim, defaultPodTemplate } from "./pod.ts";

export function defaultDeployment(object: JsonObject): void {
  const spec = specWithTemplate(object);
  setDefault(spec, "replicas", 1);
  const strategy = ensureChild(spec, "strategy");
  setDefaultText(strategy, "type", "RollingUpdate");
  if (strategy.type === "RollingUpdate") {
    const rolling = ensureChild(strategy, "rollingUpdate");
    setDefault(rolling, "maxUnavailable", "25%");
    setDefault(rolling, "maxSurge", "25%");
  }
  setDefault(spec, "revisionHistoryLimit", 10);
  setDefault(spec, "progressDeadlineSeconds", 600);
  ensureChild(object, "status");
}

export function defaultReplicaSet(object: JsonObject): void {
  setDefault(specWithTemplate(object), "replicas", 1);
  setDefault(ensureChild(object, "status"), "replicas", 0);
}

export function defaultReplicationController(object: JsonObject): void {
  const spec = specWithTemplate(object);
  const labels = childOf(childOf(childOf(spec, "template"), "metadata"), "labels");
  if (labels !== undefined) {
    setDefault(spec, "selector", { ...labels });
    setDefault(ensureChild(object, "metadata"), "labels", { ...labels });
  }
  setDefault(spec, "replicas", 1);
  setDefault(ensureChild(object, "status"), "replicas", 0);
}

export function defaultDaemonSet(object: JsonObject): void {
  const spec = specWithTemplate(object);
  const strategy = ensureChild(spec, "updateStrategy");
  setDefaultText(strategy, "type", "RollingUpdate");
  if (strategy.type === "RollingUpdate") {
    const rolling = ensureChild(strategy, "rollingUpdate");
    setDefault(rolling, "maxUnavailable", 1);
    setDefault(rolling, "maxSurge", 0);
  }
  setDefault(spec, "revisionHistoryLimit", 10);
  const status = ensureChild(object, "status");
  for (const count of [
    "currentNumberScheduled",
    "numberMisscheduled",
    "desiredNumberScheduled",
    "numberReady",
  ])
    setDefault(status, count, 0);
}

export function defaultStatefulSet(object: JsonObject): void {
  const spec = specWithTemplate(object);
  setDefaultText(spec, "podManagementPolicy", "OrderedReady");
  const strategy = ensureChild(spec, "updateStrategy");
  setDefaultText(strategy, "type", "RollingUpdate");
  if (strategy.type === "RollingUpdate") setDefault(ensureChild(strategy, "rollingUpdate"), "partition", 0);
  setDefault(spec, "replicas", 1);
  setDefault(spec, "revisionHistoryLimit", 10);
  for (const claim of itemsOf(spec, "volumeClaimTemplates")) {
    setDefault(claim, "apiVersion", "v1");
    setDefault(claim, "kind", "PersistentVolumeClaim");
    setDefault(ensureChild(claim, "metadata"), "creationTimestamp", null);
    defaultClaim(claim);
    setDefaultText(ensureChild(claim, "status"), "phase", "Pending");
  }
  const status = ensureChild(object, "status");
  setDefault(status, "replicas", 0);
  setDefault(status, "availableReplicas", 0);
}

export function defaultJob(object: JsonObject): void {
  const spec = specWithTemplate(object);
  defaultJobSpec(spec);
  const labels = childOf(childOf(childOf(spec, "template"), "metadata"), "labels");
  if (labels !== undefined) setDefault(ensureChild(object, "metadata"), "labels", { ...labels });
  ensureChild(object, "status");
}

/** Kubernetes' largest int32: with a limit for each index there is none for all of them. */
const unlimited = 2_147_483_647;

function defaultJobSpec(spec: JsonObject): void {
  if (spec.completions === undefined && spec.parallelism === undefined) spec.completions = 1;
  setDefault(spec, "parallelism", 1);
  setDefault(spec, "backoffLimit", spec.backoffLimitPerIndex === undefined ? 6 : unlimited);
  setDefaultText(spec, "completionMode", "NonIndexed");
  setDefault(spec, "suspend", false);
  for (const rule of itemsOf(childOf(spec, "podFailurePolicy"), "rules"))
    for (const pattern of itemsOf(rule, "onPodConditions")) setDefaultText(pattern, "status", "True");
}

/** The selector and the labels generated for a Job from its uid, unless it sets `manualSelector`. */
export function selectJob(object: JsonObject, uid: string): void {
  const spec = ensureChild(object, "spec");
  if (spec.manualSelector === true) return;
  const labels = ensureChild(ensureChild(ensureChild(spec, "template"), "metadata"), "labels");
  const metadata = ensureChild(object, "metadata");
  const name = textOf(metadata, "name");
  const isLabelled = metadata.labels !== undefined && !sameMeaning(metadata.labels, labels);
  for (const prefix of ["", "batch.kubernetes.io/"]) {
    setDefault(labels, `${prefix}controller-uid`, uid);
    setDefault(labels, `${prefix}job-name`, name);
  }
  // A Job without labels has those of its template, these included.
  if (!isLabelled) metadata.labels = { ...labels };
  setDefault(
    ensureChild(ensureChild(spec, "selector"), "matchLabels"),
    "batch.kubernetes.io/controller-uid",
    uid,
  );
}

export function defaultCronJob(object: JsonObject): void {
  const spec = ensureChild(object, "spec");
  setDefaultText(spec, "concurrencyPolicy", "Allow");
  setDefault(spec, "suspend", false);
  setDefault(spec, "successfulJobsHistoryLimit", 3);
  setDefault(spec, "failedJobsHistoryLimit", 1);
  const job = ensureChild(spec, "jobTemplate");
  setDefault(ensureChild(job, "metadata"), "creationTimestamp", null);
  const template = childOf(childOf(job, "spec"), "template");
  if (template !== undefined) defaultPodTemplate(template);
  ensureChild(object, "status");
}

function specWithTemplate(object: JsonObject): JsonObject {
  const spec = ensureChild(object, "spec");
  const template = childOf(spec, "template");
  if (template !== undefined) defaultPodTemplate(template);
  return spec;
}
