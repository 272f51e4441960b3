import type { PersistentVolume, PersistentVolumeClaim, StorageClass } from "#cloud/controllers/framework";

/** The provisioner built in: a volume is a directory on the node of the first pod that uses it. */
export const localPath = "kubeedge.io/local-path";

/** The default class of new clusters. */
export const localPathClass: StorageClass = {
  apiVersion: "storage.k8s.io/v1",
  kind: "StorageClass",
  metadata: {
    name: "local-path",
    annotations: { "storageclass.kubernetes.io/is-default-class": "true" },
  },
  provisioner: localPath,
  reclaimPolicy: "Delete",
  volumeBindingMode: "WaitForFirstConsumer",
};

const defaultFolder = "/var/lib/kubeedge/storage";

export function volumeNameOf({ metadata }: PersistentVolumeClaim): string {
  return `pvc-${metadata.uid ?? ""}`;
}

/** Why no volume can be made, undefined when nothing is in the way. */
export function provisioningFault(
  claim: PersistentVolumeClaim,
  { parameters = {}, volumeBindingMode }: StorageClass,
): string | undefined {
  if (volumeBindingMode !== "WaitForFirstConsumer")
    return `the provisioner ${localPath} needs volumeBindingMode: WaitForFirstConsumer`;
  if (claim.spec.volumeMode === "Block")
    return `the provisioner ${localPath} makes directories, no block devices`;
  const path = parameters["path"] ?? defaultFolder;
  const isPlain = path.startsWith("/") && !path.split("/").includes("..");
  return isPlain
    ? undefined
    : `parameters.path ${JSON.stringify(path)} of the StorageClass has to be an absolute path without ".."`;
}

/** The volume of a claim on a node. The node makes the directory when it first mounts it. */
export function localVolume(
  claim: PersistentVolumeClaim,
  storageClass: StorageClass,
  node: string,
): PersistentVolume {
  const { name = "", namespace = "", uid = "" } = claim.metadata;
  const { accessModes = [], resources, ...spec } = claim.spec;
  const folder = storageClass.parameters?.["path"] ?? defaultFolder;
  const volume = volumeNameOf(claim);
  return {
    apiVersion: "v1",
    kind: "PersistentVolume",
    metadata: { name: volume, annotations: { "pv.kubernetes.io/provisioned-by": storageClass.provisioner } },
    spec: {
      accessModes,
      capacity: { storage: resources?.requests?.["storage"] ?? "0" },
      claimRef: { apiVersion: "v1", kind: "PersistentVolumeClaim", namespace, name, uid },
      hostPath: { path: `${folder}/${volume}_${namespace}_${name}`, type: "DirectoryOrCreate" },
      nodeAffinity: onNode(node),
      persistentVolumeReclaimPolicy: storageClass.reclaimPolicy ?? "Delete",
      ...(spec.storageClassName && { storageClassName: spec.storageClassName }),
      volumeMode: "Filesystem",
    },
  };
}

function onNode(node: string): NonNullable<PersistentVolume["spec"]["nodeAffinity"]> {
  const requirement = { key: "kubernetes.io/hostname", operator: "In", values: [node] };
  return { required: { nodeSelectorTerms: [{ matchExpressions: [requirement] }] } };
}
