import { createHash } from "node:crypto";
import type { KindInfo } from "#cloud/kube-api/kinds";
import type { KindRegistry, ServedVersion } from "#cloud/kube-api/objects";
import { priorityOf, type AggregatedVersion } from "#cloud/kube-api/server/aggregation";
import { textOf, textsOf, type JsonObject } from "#shared/json";
import { apiVersionOf } from "#shared/kube";
import { kubernetesVersion } from "#shared/release";

/** The answer to `/version`. */
export const serverVersion: JsonObject = kubernetesVersion("kubeedge-bun");

/** The answer to `/api`. */
export function coreVersions(serverAddress: string): JsonObject {
  return {
    kind: "APIVersions",
    versions: ["v1"],
    serverAddressByClientCIDRs: [{ clientCIDR: "0.0.0.0/0", serverAddress }],
  };
}

/** What is served: the kinds of this API, and the versions of groups that other servers serve behind it. */
export interface Served {
  readonly registry: KindRegistry;
  readonly aggregated: readonly AggregatedVersion[];
}

/** The answer to `/apis`. */
export function groupList(served: Served): JsonObject {
  return {
    kind: "APIGroupList",
    apiVersion: "v1",
    groups: groupsOf(served).map(([name, versions]) => groupOf(name, versions)),
  };
}

/** The answer to `/`: the paths that are served, in order. */
export function rootPaths(served: Served): JsonObject {
  const groups = groupsOf(served).flatMap(([group, versions]) => [
    `/apis/${group}`,
    ...versions.map(({ version }) => `/apis/${group}/${version}`),
  ]);
  const fixed = [
    "/healthz",
    "/livez",
    "/metrics",
    "/openapi/v2",
    "/openapi/v3",
    "/openid/v1/jwks",
    "/readyz",
    "/version",
  ];
  const paths = [
    "/.well-known/openid-configuration",
    "/api",
    "/api/v1",
    "/apis",
    "/apis/",
    ...groups,
    ...fixed,
  ];
  return { paths: paths.toSorted() };
}

/** The answer to `/apis/<group>`, undefined when it is not served. */
export function oneGroup(served: Served, name: string): JsonObject | undefined {
  const found = groupsOf(served).find(([group]) => group === name);
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
export function aggregated(served: Served, root: "api" | "apis", version: string): JsonObject {
  const groups = groupsOf(served, root === "api");
  return {
    kind: "APIGroupDiscoveryList",
    apiVersion: `apidiscovery.k8s.io/${version}`,
    metadata: {},
    items: groups.map(([name, versions]) => ({
      metadata: { ...(name !== "" && { name }), creationTimestamp: null },
      versions: versions.map((one) => ({
        version: one.version,
        resources: "kinds" in one ? one.kinds.map(discoveredResource) : discoveredResources(one),
        freshness: "kinds" in one || one.isAvailable ? "Current" : "Stale",
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

type Version = ServedVersion | AggregatedVersion;

/** Groups with the higher priority first, and their versions as well; those that are served here stay in their order. */
function groupsOf({ registry, aggregated: others }: Served, core = false): [string, Version[]][] {
  const own: Version[] = registry.versions().filter(({ group }) => (group === "") === core);
  const added = core ? [] : others.toSorted((a, b) => b.versionPriority - a.versionPriority);
  const groups = [...Map.groupBy<string, Version>([...own, ...added], ({ group }) => group)];
  const priority = ([name, versions]: [string, Version[]]): number =>
    Math.max(...versions.map((one) => ("kinds" in one ? priorityOf(name) : one.groupPriority)));
  return groups.toSorted((a, b) => priority(b) - priority(a));
}

function groupOf(name: string, served: readonly Version[]): JsonObject {
  const versions = served.map(({ version }) => ({ groupVersion: `${name}/${version}`, version }));
  return { name, versions, preferredVersion: versions[0] ?? null };
}

/** The list of resources of an older server in the aggregated form: a subresource is a part of its resource. */
function discoveredResources({ group, version, resources }: AggregatedVersion): JsonObject[] {
  const shown = (one: JsonObject): JsonObject => ({
    responseKind: {
      group: textOf(one, "group") || group,
      version: textOf(one, "version") || version,
      kind: textOf(one, "kind"),
    },
    verbs: textsOf(one, "verbs"),
  });
  return resources
    .filter((one) => !textOf(one, "name").includes("/"))
    .map((one) => {
      const name = textOf(one, "name");
      const parts = resources.filter((other) => textOf(other, "name").startsWith(`${name}/`));
      return {
        resource: name,
        ...shown(one),
        scope: one["namespaced"] === true ? "Namespaced" : "Cluster",
        singularResource: textOf(one, "singularName"),
        ...["shortNames", "categories"].reduce<JsonObject>((found, field) => {
          const texts = textsOf(one, field);
          return texts.length > 0 ? { ...found, [field]: texts } : found;
        }, {}),
        ...(parts.length > 0 && {
          subresources: parts.map((part) => ({
            subresource: textOf(part, "name").slice(name.length + 1),
            ...shown(part),
          })),
        }),
      };
    });
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
