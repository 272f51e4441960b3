import { asText, recordOf } from "#shared/json";
import type { Pod } from "./pod.ts";

/** The annotation of a mirror pod: the API's copy of a static pod of a node. */
export const mirrorAnnotation = "kubernetes.io/config.mirror";

/** Where kubelet has a pod from: "file" for a static pod. */
export const configSourceAnnotation = "kubernetes.io/config.source";
export const configHashAnnotation = "kubernetes.io/config.hash";

/** Whether a pod comes from a file of this node. What the API sends is never one: `asApiPod`. */
export function isStaticPod({ metadata }: { readonly metadata: Pod["metadata"] }): boolean {
  return metadata.annotations?.[configSourceAnnotation] === "file";
}

/** A pod of the API, whatever its annotations say. */
export function asApiPod(pod: Pod): Pod {
  if (!isStaticPod(pod)) return pod;
  const { [configSourceAnnotation]: _source, ...annotations } = pod.metadata.annotations ?? {};
  return { ...pod, metadata: { ...pod.metadata, annotations } };
}

/** Another API object that a pod needs. */
export interface PodReference {
  readonly kind: PodReferenceKind;
  /** "" where the pod names none */
  readonly name: string;
}

export type PodReferenceKind =
  | "ConfigMap"
  | "Secret"
  | "PersistentVolumeClaim"
  | "ResourceClaim"
  | "ServiceAccount"
  | "ServiceAccountToken"
  | "Other";

type Visit = (source: Plain, pod: Pod, volume: string) => PodReference[];
type Plain = Readonly<Record<string, unknown>>;

/**
 * Every API object a pod refers to, in whatever field and container. The pod may come from outside: nothing is expected of
 * the types of its fields, and what is not known here counts as `Other`.
 */
export function podReferences(pod: Pod): PodReference[] {
  const spec = recordOf(pod.spec);
  const containers = ["initContainers", "containers", "ephemeralContainers"].flatMap((field) =>
    listOf(spec[field]),
  );
  return [
    ...accountOf(spec),
    ...listOf(spec["imagePullSecrets"]).map((one) => named("Secret", one["name"])),
    ...listOf(spec["resourceClaims"]).map((one) => named("ResourceClaim", one["name"])),
    ...containers.flatMap(ofContainer),
    ...listOf(spec["volumes"]).flatMap((volume) => ofVolume(volume, pod)),
  ];
}

export function isMirrorPod(object: { readonly metadata: Pod["metadata"] }): boolean {
  return object.metadata.annotations?.[mirrorAnnotation] !== undefined;
}

/**
 * Why a pod may not be a mirror pod, in the API server's words; undefined when it may. `kinds`: what counts, everything
 * unless given.
 */
export function mirrorFault(pod: Pod, kinds?: ReadonlySet<PodReferenceKind>): string | undefined {
  const found = podReferences(pod).find(({ kind }) => kinds === undefined || kinds.has(kind));
  return found && `a mirror pod may not ${mirrorTexts[found.kind]}`;
}

const mirrorTexts: Readonly<Record<PodReferenceKind, string>> = {
  ConfigMap: "reference configmaps",
  Secret: "reference secrets",
  PersistentVolumeClaim: "reference persistentvolumeclaims",
  ResourceClaim: "reference resourceclaims",
  ServiceAccount: "reference service accounts",
  ServiceAccountToken: "use ServiceAccountToken volume projections",
  Other: "reference other API objects",
};

function accountOf(spec: Plain): PodReference[] {
  const names = [spec["serviceAccountName"], spec["serviceAccount"]];
  return names
    .filter((name) => name !== undefined && name !== "")
    .map((name) => named("ServiceAccount", name));
}

function ofContainer(container: Plain): PodReference[] {
  const env = listOf(container["env"]).map((one) => recordOf(one["valueFrom"]));
  return [...listOf(container["envFrom"]), ...env].flatMap((source) =>
    Object.entries(source).flatMap(([field, value]) => ofEnvironment(field, value)),
  );
}

function ofEnvironment(field: string, value: unknown): PodReference[] {
  if (field === "configMapRef" || field === "configMapKeyRef")
    return [named("ConfigMap", recordOf(value)["name"])];
  if (field === "secretRef" || field === "secretKeyRef") return [named("Secret", recordOf(value)["name"])];
  return ownFields.has(field) || value === null ? [] : [named("Other", "")];
}

/** Sources of a variable that are of the pod itself. */
const ownFields = new Set(["prefix", "fieldRef", "resourceFieldRef", "fileKeyRef"]);

function ofVolume(volume: Plain, pod: Pod): PodReference[] {
  const name = asText(volume["name"]);
  return Object.entries(volume).flatMap(([field, value]) => {
    if (field === "name" || value === null || value === undefined) return [];
    const visit = volumeKinds.get(field);
    return visit ? visit(recordOf(value), pod, name) : [named("Other", "")];
  });
}

const nothing: Visit = () => [];

function secretAt(...path: readonly string[]): Visit {
  return (source) => {
    const owner = path.slice(0, -1).reduce((parent, step) => recordOf(parent[step]), source);
    const name = asText(owner[path.at(-1) ?? ""]);
    const isNamed = path.length > 1 ? (source[path[0] ?? ""] ?? null) !== null : name !== "";
    return isNamed ? [named("Secret", name)] : [];
  };
}

const volumeKinds: ReadonlyMap<string, Visit> = new Map<string, Visit>([
  ["configMap", (source) => [named("ConfigMap", source["name"])]],
  ["secret", (source) => [named("Secret", source["secretName"])]],
  ["persistentVolumeClaim", (source) => [named("PersistentVolumeClaim", source["claimName"])]],
  ["ephemeral", (_source, pod, volume) => [named("PersistentVolumeClaim", `${pod.metadata.name}-${volume}`)]],
  ["projected", (source) => listOf(source["sources"]).flatMap(ofProjection)],
  ["csi", secretAt("nodePublishSecretRef", "name")],
  ["azureFile", secretAt("secretName")],
  ["glusterfs", () => [named("Other", "")]],
  ...["cephfs", "cinder", "flexVolume", "iscsi", "rbd", "scaleIO", "storageos"].map(
    (kind): [string, Visit] => [kind, secretAt("secretRef", "name")],
  ),
  ...[
    "awsElasticBlockStore",
    "azureDisk",
    "downwardAPI",
    "emptyDir",
    "fc",
    "flocker",
    "gcePersistentDisk",
    "gitRepo",
    "hostPath",
    "image",
    "nfs",
    "photonPersistentDisk",
    "portworxVolume",
    "quobyte",
    "vsphereVolume",
  ].map((kind): [string, Visit] => [kind, nothing]),
]);

function ofProjection(source: Plain): PodReference[] {
  return Object.entries(source).flatMap(([field, value]) => {
    if (value === null || field === "downwardAPI") return [];
    if (field === "configMap") return [named("ConfigMap", recordOf(value)["name"])];
    if (field === "secret") return [named("Secret", recordOf(value)["name"])];
    return [named(field === "serviceAccountToken" ? "ServiceAccountToken" : "Other", "")];
  });
}

function named(kind: PodReferenceKind, name: unknown): PodReference {
  return { kind, name: asText(name) };
}

function listOf(value: unknown): Plain[] {
  return typeof value === "object" && value !== null ? Object.values(value).map(recordOf) : [];
}
