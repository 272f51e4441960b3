import { createHash } from "node:crypto";
import { resolve } from "node:path";
import type { ContainerIdentity } from "./specs.ts";

/** Labels kubelet's own tools know, and ours. */
export const labelNames = {
  podName: "io.kubernetes.pod.name",
  podNamespace: "io.kubernetes.pod.namespace",
  podUid: "io.kubernetes.pod.uid",
  container: "io.kubernetes.container.name",
  /** Which edgecore the container belongs to: two of them may share an engine. */
  owner: "io.kubeedge.owner",
  dataDir: "io.kubeedge.data-dir",
  role: "io.kubeedge.role",
  specHash: "io.kubeedge.spec-hash",
  attempt: "io.kubeedge.restart-count",
  sandboxId: "io.kubeedge.sandbox",
  graceSeconds: "io.kubeedge.grace-seconds",
} as const;

/** Made of the path: a node that is set up again in the same place adopts, or removes, what ran there before. */
export function ownerOf(node: string, dataDir: string): string {
  const place = createHash("sha256").update(resolve(dataDir)).digest("hex").slice(0, 12);
  return `${node}-${place}`;
}

/** Whether the label of an owner was made for a node, whatever the data directory. */
export function isOwnerOf(node: string, owner: string): boolean {
  return owner.startsWith(`${node}-`) && /^[0-9a-f]{12}$/.test(owner.slice(node.length + 1));
}

export interface ContainerOwner {
  readonly owner: string;
  readonly dataDir?: string;
}

/** An identity as labels; `fromLabels` reads it back. */
export function toLabels(
  identity: ContainerIdentity,
  { owner, dataDir }: ContainerOwner,
): Record<string, string> {
  return {
    ...(dataDir === undefined ? {} : { [labelNames.dataDir]: resolve(dataDir) }),
    [labelNames.podName]: identity.podName,
    [labelNames.podNamespace]: identity.podNamespace,
    [labelNames.podUid]: identity.podUid,
    [labelNames.container]: identity.container,
    [labelNames.owner]: owner,
    [labelNames.role]: identity.role,
    [labelNames.specHash]: identity.specHash,
    [labelNames.attempt]: String(identity.attempt),
    [labelNames.sandboxId]: identity.sandboxId,
    [labelNames.graceSeconds]: String(identity.graceSeconds),
  };
}

const roles = ["sandbox", "init", "ephemeral"] as const;

/** The identity in labels. Missing or damaged ones give empty texts, zero, and 30 s of grace. */
export function fromLabels(labels: Readonly<Record<string, string>>): ContainerIdentity {
  const text = (name: string): string => labels[name] ?? "";
  const role = text(labelNames.role);
  return {
    podName: text(labelNames.podName),
    podNamespace: text(labelNames.podNamespace),
    podUid: text(labelNames.podUid),
    container: text(labelNames.container),
    role: roles.find((one) => one === role) ?? "container",
    specHash: text(labelNames.specHash),
    attempt: readCount(text(labelNames.attempt), 0),
    sandboxId: text(labelNames.sandboxId),
    graceSeconds: readCount(text(labelNames.graceSeconds), 30),
  };
}

/** kubelet's scheme: k8s_<container>_<pod>_<namespace>_<uid>_<attempt>. */
export function containerName(identity: ContainerIdentity): string {
  const { container, podName, podNamespace, podUid, attempt } = identity;
  return `k8s_${container}_${podName}_${podNamespace}_${podUid}_${attempt}`;
}

function readCount(text: string, otherwise: number): number {
  return /^\d{1,9}$/.test(text) ? Number(text) : otherwise;
}
