import { resources } from "#cloud/kube-client";
import { hashLabel, templateText } from "#cloud/controllers/workloads/pods";
import { controlledBy } from "#cloud/controllers/framework";
import type { Deployment, ReplicaSet } from "#cloud/controllers/framework";

export const revisionAnnotation = "deployment.kubernetes.io/revision";
export const historyAnnotation = "deployment.kubernetes.io/revision-history";
export const desiredAnnotation = "deployment.kubernetes.io/desired-replicas";
export const maxAnnotation = "deployment.kubernetes.io/max-replicas";

/** Annotations of a Deployment that its ReplicaSets do not get; as annotationsToSkip of deployment_util.go. */
const notCopied = new Set([
  "kubectl.kubernetes.io/last-applied-configuration",
  "deprecated.deployment.rollback.to",
  revisionAnnotation,
  historyAnnotation,
  desiredAnnotation,
  maxAnnotation,
]);

export function annotationNumber(
  object: { readonly metadata: { readonly annotations?: Record<string, string> } },
  name: string,
): number | undefined {
  const text = object.metadata.annotations?.[name];
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;
}

/** Revisions have 64 bits (`strconv.ParseInt`): that of a ReplicaSet which is adopted may be any number. */
export function revisionOf({ metadata }: ReplicaSet): bigint {
  const text = metadata.annotations?.[revisionAnnotation] ?? "";
  return /^\d{1,19}$/.test(text) ? BigInt(text) : 0n;
}

export function nextRevision(old: readonly ReplicaSet[]): bigint {
  return old.map(revisionOf).reduce((most, one) => (one > most ? one : most), 0n) + 1n;
}

/** Whether a ReplicaSet is the one of the Deployment's current template; as EqualIgnoreHash. */
export function makesSamePods(deployment: Deployment, replicaSet: ReplicaSet): boolean {
  return templateText(deployment.spec.template) === templateText(replicaSet.spec.template);
}

/** Earlier revisions kept in the annotation of a ReplicaSet that becomes the current one again. */
const historyLimit = 20;

/** Annotations of the current ReplicaSet; as SetNewReplicaSetAnnotations. */
export function annotationsFor(
  deployment: Deployment,
  current: ReplicaSet | undefined,
  revision: bigint,
): Record<string, string> {
  const annotations = { ...current?.metadata.annotations };
  for (const [name, value] of Object.entries(deployment.metadata.annotations ?? {}))
    if (!notCopied.has(name)) annotations[name] = value;
  const before = current ? revisionOf(current) : 0n;
  if (before >= revision) return annotations;
  annotations[revisionAnnotation] = String(revision);
  if (before === 0n) return annotations;
  const history = (annotations[historyAnnotation] ?? "").split(",").filter((text) => text !== "");
  annotations[historyAnnotation] = [...history, String(before)].slice(-historyLimit).join(",");
  return annotations;
}

interface NewReplicaSet {
  readonly hash: string;
  readonly replicas: number;
  readonly annotations: Record<string, string>;
}

/** The ReplicaSet of the Deployment's current template. */
export function newReplicaSet(
  deployment: Deployment,
  { hash, replicas, annotations }: NewReplicaSet,
): ReplicaSet {
  const { template, selector, minReadySeconds } = deployment.spec;
  const { name = "", namespace = "" } = deployment.metadata;
  const labels = { ...template.metadata?.labels, [hashLabel]: hash };
  return {
    apiVersion: "apps/v1",
    kind: "ReplicaSet",
    metadata: {
      name: `${name}-${hash}`,
      namespace,
      labels,
      annotations,
      ownerReferences: [controlledBy(resources.deployments, deployment)],
    },
    spec: {
      replicas,
      ...(minReadySeconds !== undefined && { minReadySeconds }),
      selector: { ...selector, matchLabels: { ...selector.matchLabels, [hashLabel]: hash } },
      template: { ...template, metadata: { ...template.metadata, labels } },
    },
  };
}
