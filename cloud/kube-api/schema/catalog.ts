import { apiVersionOf } from "#shared/kube";
import { catalogRows, type CatalogRow } from "./catalog-table.ts";
import type { KindInfo, SubresourceInfo } from "./vocabulary.ts";

export const storedVerbs: readonly string[] = [
  "create",
  "delete",
  "deletecollection",
  "get",
  "list",
  "patch",
  "update",
  "watch",
];

/** Kinds and verbs of subresources that do not answer with the object itself. */
const foreignSubresources: Record<string, Omit<SubresourceInfo, "name">> = {
  binding: { group: "", version: "v1", kind: "Binding", verbs: ["create"] },
  eviction: { group: "policy", version: "v1", kind: "Eviction", verbs: ["create"] },
  scale: { group: "autoscaling", version: "v1", kind: "Scale", verbs: ["get", "patch", "update"] },
  approval: {
    group: "certificates.k8s.io",
    version: "v1",
    kind: "CertificateSigningRequest",
    verbs: ["get", "patch", "update"],
  },
  token: { group: "authentication.k8s.io", version: "v1", kind: "TokenRequest", verbs: ["create"] },
  attach: { group: "", version: "v1", kind: "PodAttachOptions", verbs: ["create", "get"] },
  log: { group: "", version: "v1", kind: "Pod", verbs: ["get"] },
  exec: { group: "", version: "v1", kind: "PodExecOptions", verbs: ["create", "get"] },
  portforward: { group: "", version: "v1", kind: "PodPortForwardOptions", verbs: ["create", "get"] },
};

const proxyVerbs: readonly string[] = ["create", "delete", "get", "patch", "update"];

/** Made on first use. */
const made: { kinds?: readonly KindInfo[] } = {};

/** Every builtin kind, in the order discovery lists them. */
export function builtinKinds(): readonly KindInfo[] {
  made.kinds ??= catalogRows.map(toKind);
  return made.kinds;
}

/** The builtin kind of an `apiVersion` and `kind`, if served. */
export function findKind(apiVersion: string, kind: string): KindInfo | undefined {
  return builtinKinds().find((info) => info.kind === kind && apiVersionOf(info) === apiVersion);
}

function toKind(row: CatalogRow): KindInfo {
  const slash = row.gv.indexOf("/");
  const group = slash < 0 ? "" : row.gv.slice(0, slash);
  const version = row.gv.slice(slash + 1);
  const storedRow = catalogRows.find(({ gv, kind }) => gv === row.storedIn && kind === row.kind);
  return {
    group,
    version,
    kind: row.kind,
    listKind: row.listKind ?? `${row.kind}List`,
    plural: row.plural,
    singular: row.kind.toLowerCase(),
    shortNames: row.short ?? [],
    namespaced: row.cluster !== true,
    categories: row.categories ?? [],
    verbs: verbsOf(row),
    subresources: (row.sub ?? []).map((name) => toSubresource(name, { group, version, kind: row.kind })),
    stored: row.virtual === undefined,
    ...(storedRow && { storedAs: toKind(storedRow) }),
  };
}

function verbsOf(row: CatalogRow): readonly string[] {
  if (row.virtual) return row.virtual;
  return row.kind === "Namespace" ? storedVerbs.filter((verb) => verb !== "deletecollection") : storedVerbs;
}

function toSubresource(
  name: string,
  owner: { group: string; version: string; kind: string },
): SubresourceInfo {
  const foreign = foreignSubresources[name];
  if (foreign !== undefined) return { name, ...foreign };
  if (name === "proxy")
    return { name, group: "", version: "v1", kind: `${owner.kind}ProxyOptions`, verbs: proxyVerbs };
  const verbs = name === "log" ? ["get"] : name === "finalize" ? ["update"] : ["get", "patch", "update"];
  return { name, ...owner, verbs };
}
