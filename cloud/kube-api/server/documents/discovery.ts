import { createHash } from "node:crypto";
import type { KindInfo } from "#cloud/kube-api/kinds";
import type { KindRegistry, ServedVersion } from "#cloud/kube-api/objects";
import type { JsonObject } from "#shared/json";
import { apiVersionOf } from "#shared/kube";

/** The answer to `/version`; its minor version is the one whose behavior is followed. */
export const serverVersion: JsonObject = {
  major: "1",
  minor: "32",
  gitVersion: "v1.32.0+kubeedge-bun",
  gitCommit: "",
  gitTreeState: "clean",
  buildDate: "2026-01-01T00:00:00Z",
  goVersion: "none",
  compiler: "bun",
  platform: `linux/${process.arch === "x64" ? "amd64" : process.arch}`,
};

/** The answer to `/api`. */
export function coreVersions(serverAddress: string): JsonObject {
  return {
    kind: "APIVersions",
    versions: ["v1"],
    serverAddressByClientCIDRs: [{ clientCIDR: "0.0.0.0/0", serverAddress }],
  };
}

/** The answer to `/apis`. */
export function groupList(registry: KindRegistry): JsonObject {
  return {
    kind: "APIGroupList",
    apiVersion: "v1",
    groups: groupsOf(registry).map(([name, served]) => groupOf(name, served)),
  };
}

/** The answer to `/apis/<group>`, undefined when it is not served. */
export function oneGroup(registry: KindRegistry, name: string): JsonObject | undefined {
  const found = groupsOf(registry).find(([group]) => group === name);
  return found && { kind: "APIGroup", apiVersion: "v1", ...groupOf(...found) };
}

/** The answer to `/api/v1` and `/apis/<group>/<version>`. */
export function resourceList(version: ServedVersion): JsonObject {
  return {
    kind: "APIResourceList",
    ...(version.group !== "" && { apiVersion: "v1" }),
    groupVersion: apiVersionOf(version),
    resources: version.kinds.flatMap(resourcesOf),
  };
}

/** `/api` and `/apis` in the aggregated form, `v2` or `v2beta1`. */
export function aggregated(registry: KindRegistry, root: "api" | "apis", version: string): JsonObject {
  const groups = groupsOf(registry, root === "api");
  return {
    kind: "APIGroupDiscoveryList",
    apiVersion: `apidiscovery.k8s.io/${version}`,
    metadata: {},
    items: groups.map(([name, versions]) => ({
      metadata: { ...(name !== "" && { name }), creationTimestamp: null },
      versions: versions.map((served) => ({
        version: served.version,
        resources: served.kinds.map(discoveredResource),
        freshness: "Current",
      })),
    })),
  };
}

/** The version of aggregated discovery (KEP-3352) that an Accept header asks for. */
export function aggregatedVersion(accept: string | null): string | undefined {
  for (const range of (accept ?? "").split(",")) {
    const parts = range.split(";").map((part) => part.trim());
    const asks = parts.includes("as=APIGroupDiscoveryList") && parts.includes("g=apidiscovery.k8s.io");
    if (!asks) continue;
    if (parts.includes("v=v2")) return "v2";
    if (parts.includes("v=v2beta1")) return "v2beta1";
  }
  return undefined;
}

function groupsOf(registry: KindRegistry, core = false): [string, ServedVersion[]][] {
  const served = registry.versions().filter(({ group }) => (group === "") === core);
  return [...Map.groupBy(served, ({ group }) => group)];
}

function groupOf(name: string, served: readonly ServedVersion[]): JsonObject {
  const versions = served.map(({ version }) => ({ groupVersion: `${name}/${version}`, version }));
  return { name, versions, preferredVersion: versions[0] ?? null };
}

function resourcesOf(kind: KindInfo): JsonObject[] {
  const { plural: name, singular: singularName, namespaced } = kind;
  const resource = {
    name,
    singularName,
    namespaced,
    kind: kind.kind,
    verbs: [...kind.verbs],
    ...(kind.shortNames.length > 0 && { shortNames: [...kind.shortNames] }),
    ...(kind.categories.length > 0 && { categories: [...kind.categories] }),
    ...(kind.stored && { storageVersionHash: hashOf(kind) }),
  };
  const subresources = kind.subresources.map((sub) => ({
    name: `${name}/${sub.name}`,
    singularName: "",
    namespaced,
    ...((sub.group !== kind.group || sub.version !== kind.version) && {
      group: sub.group,
      version: sub.version,
    }),
    kind: sub.kind,
    verbs: [...sub.verbs],
  }));
  return [resource, ...subresources];
}

function discoveredResource(kind: KindInfo): JsonObject {
  const { group, version } = kind;
  return {
    resource: kind.plural,
    responseKind: { group, version, kind: kind.kind },
    scope: kind.namespaced ? "Namespaced" : "Cluster",
    singularResource: kind.singular,
    verbs: [...kind.verbs],
    ...(kind.shortNames.length > 0 && { shortNames: [...kind.shortNames] }),
    ...(kind.categories.length > 0 && { categories: [...kind.categories] }),
    ...(kind.subresources.length > 0 && {
      subresources: kind.subresources.map((sub) => ({
        subresource: sub.name,
        responseKind: { group: sub.group, version: sub.version, kind: sub.kind },
        verbs: [...sub.verbs],
      })),
    }),
  };
}

function hashOf(kind: KindInfo): string {
  const text = `${kind.group}/${kind.custom?.storageVersion ?? kind.version}/${kind.kind}`;
  return createHash("sha256").update(text).digest().subarray(0, 8).toString("base64");
}
