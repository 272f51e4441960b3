import { createHash } from "node:crypto";
import { apiVersionOf, deviceKind, heldKinds, type HeldKind } from "#edge/meta-server/objects";
import { kubernetesVersion } from "#shared/release";

const readVerbs = ["get", "list", "watch"] as const;

/** Of Devices the desired values can be set. */
function verbsOf(kind: HeldKind): readonly string[] {
  return kind === deviceKind ? [...readVerbs, "patch", "update"] : readVerbs;
}

/** The answer to `/version`. */
export const nodeVersion = kubernetesVersion("kubeedge-bun-node");

/** OpenAPI documents that the node has, by group version as in their paths. */
export interface OpenApiDocuments {
  hashOf(groupVersion: string): string | undefined;
  read(groupVersion: string): string | undefined;
}

/** Of what a node has documents, if its cloud told it. */
export function documentedGroupVersions(): string[] {
  return groupVersions().map(pathOf);
}

/** What a node answers to questions about its API while it answers itself; undefined for other paths. */
export function answerDiscovery(
  path: string,
  accept: string | null,
  documents: OpenApiDocuments,
): Response | undefined {
  if (path === "/api" || path === "/apis") return rootAnswer(path, accept);
  if (path === "/openapi/v2") return openApiV2(accept ?? "");
  if (path === "/openapi/v3") return Response.json(openApiIndex(documents));
  const document = documentedGroupVersions().find((one) => path === `/openapi/v3/${one}`);
  if (document !== undefined) return documentAnswer(documents.read(document));
  const served = groupVersions().find((one) => path === `/${pathOf(one)}`);
  if (served) return Response.json(resourceList(served));
  const group = /^\/apis\/([^/]+)$/.exec(path)?.[1];
  const found = groups().find(({ name }) => name === group);
  return found && Response.json({ kind: "APIGroup", apiVersion: "v1", ...found });
}

function rootAnswer(path: "/api" | "/apis", accept: string | null): Response {
  const version = aggregatedVersion(accept);
  if (version !== undefined) {
    const type = `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`;
    return new Response(JSON.stringify(aggregated(path === "/api", version)), {
      headers: { "Content-Type": type, Vary: "Accept" },
    });
  }
  return path === "/api"
    ? Response.json({ kind: "APIVersions", versions: ["v1"], serverAddressByClientCIDRs: [] })
    : Response.json({ kind: "APIGroupList", apiVersion: "v1", groups: groups() });
}

/** The version of aggregated discovery (KEP-3352) that an Accept header asks for. */
function aggregatedVersion(accept: string | null): string | undefined {
  for (const range of (accept ?? "").split(",")) {
    const parts = range.split(";").map((part) => part.trim());
    if (!parts.includes("as=APIGroupDiscoveryList") || !parts.includes("g=apidiscovery.k8s.io")) continue;
    if (parts.includes("v=v2")) return "v2";
    if (parts.includes("v=v2beta1")) return "v2beta1";
  }
  return undefined;
}

function aggregated(core: boolean, version: string): object {
  const served = groupVersions().filter(({ group }) => (group === "") === core);
  return {
    kind: "APIGroupDiscoveryList",
    apiVersion: `apidiscovery.k8s.io/${version}`,
    metadata: {},
    items: served.map((one) => ({
      metadata: { ...(one.group !== "" && { name: one.group }), creationTimestamp: null },
      versions: [
        { version: one.version, resources: one.kinds.map(discoveredResource), freshness: "Current" },
      ],
    })),
  };
}

function discoveredResource(held: HeldKind): object {
  const { group, version, kind, plural, namespaced, shortNames } = held;
  return {
    resource: plural,
    responseKind: { group, version, kind },
    scope: namespaced ? "Namespaced" : "Cluster",
    singularResource: kind.toLowerCase(),
    verbs: verbsOf(held),
    ...(shortNames.length > 0 && { shortNames }),
  };
}

interface GroupVersion {
  readonly group: string;
  readonly version: string;
  readonly kinds: readonly HeldKind[];
}

function groupVersions(): GroupVersion[] {
  return [...Map.groupBy(heldKinds, apiVersionOf).values()].map((kinds) => ({
    group: kinds[0]?.group ?? "",
    version: kinds[0]?.version ?? "",
    kinds,
  }));
}

interface ApiGroup {
  readonly name: string;
  readonly versions: readonly object[];
  readonly preferredVersion: object;
}

function groups(): ApiGroup[] {
  return groupVersions()
    .filter(({ group }) => group !== "")
    .map(({ group: name, version }) => {
      const one = { groupVersion: `${name}/${version}`, version };
      return { name, versions: [one], preferredVersion: one };
    });
}

function resourceList(served: GroupVersion): object {
  return {
    kind: "APIResourceList",
    ...(served.group !== "" && { apiVersion: "v1" }),
    groupVersion: apiVersionOf(served),
    resources: served.kinds.map((held) => {
      const { plural: name, kind, namespaced, shortNames } = held;
      const names = shortNames.length > 0 && { shortNames };
      return { name, singularName: kind.toLowerCase(), namespaced, kind, verbs: verbsOf(held), ...names };
    }),
  };
}

/** A document without definitions, as kubectl asks for it before it writes: what it may write is checked then. */
function openApiV2(accept: string): Response {
  if (/proto-openapi\.spec\.v2[.@]v1\.0\+protobuf/.test(accept)) {
    const type = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
    // Field 1, `swagger`, of the message Document.
    return new Response(Buffer.from("\u000a\u00032.0", "latin1"), { headers: { "Content-Type": type } });
  }
  return Response.json({ swagger: "2.0", info: { title: "Kubernetes", version: "" }, paths: {} });
}

function documentAnswer(text: string | undefined): Response {
  if (text !== undefined) return new Response(text, { headers: { "Content-Type": "application/json" } });
  return Response.json({ openapi: "3.0.0", info: { title: "Kubernetes", version: "" }, paths: {} });
}

function openApiIndex(documents: OpenApiDocuments): object {
  const paths = groupVersions().map((one) => {
    const name = pathOf(one);
    const names = one.kinds.map(({ plural }) => plural).join(",");
    const hash = documents.hashOf(name) ?? createHash("sha256").update(names).digest("hex").slice(0, 32);
    return [name, { serverRelativeURL: `/openapi/v3/${name}?hash=${hash}` }] as const;
  });
  return { paths: Object.fromEntries(paths) };
}

function pathOf({ group, version }: GroupVersion): string {
  return group === "" ? `api/${version}` : `apis/${group}/${version}`;
}
