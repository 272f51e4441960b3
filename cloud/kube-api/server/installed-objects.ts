import { isIP } from "node:net";
import { defaultGrants, reconcileDefault } from "#cloud/kube-api/auth";
import { ownWrite, resourceOf, type KindRegistry, type ObjectService } from "#cloud/kube-api/objects";
import { parseKubeObject, toJsonObject } from "#cloud/kube-api/schema";
import { Refusal } from "#cloud/kube-api/status";
import type { RevisionStore } from "#cloud/kube-api/store";
import { ConfigError } from "#shared/errors";
import { metadataOf, type JsonObject } from "#shared/json";
import { apiVersionOf, type KubeObject } from "#shared/kube";
import type { Logger } from "#shared/log";

export interface InstallParts {
  readonly objects: ObjectService;
  readonly registry: KindRegistry;
  readonly store: RevisionStore;
}

const firstNamespaces = ["default", "kube-system", "kube-public", "kube-node-lease"];
/** Creates or updates objects so that they are as given, one after the other. @throws ConfigError naming the first that is refused */
export async function ensureObjects(parts: InstallParts, all: readonly KubeObject[]): Promise<void> {
  for (const object of all) await ensureObject(parts, object);
}

/** The namespaces every cluster has. */
export async function ensureNamespaces(parts: InstallParts): Promise<void> {
  await ensureObjects(
    parts,
    firstNamespaces.map((name) => ({ apiVersion: "v1", kind: "Namespace", metadata: { name } })),
  );
}

/** The Service `kubernetes` and its endpoints: how programs in the cluster find the API. Without it the API works all the same. */
export async function ensureMasterService(
  parts: InstallParts,
  { ip, port }: { readonly ip: string; readonly port: number },
  log: Logger,
): Promise<void> {
  const metadata = { name: "kubernetes", namespace: "default" };
  const https = { name: "https", protocol: "TCP" };
  const labels = { component: "apiserver", provider: "kubernetes" };
  const spec = { type: "ClusterIP", clusterIP: masterIp, ports: [{ ...https, port: 443, targetPort: port }] };
  const skip = { "endpointslice.kubernetes.io/skip-mirror": "true" };
  const sliceLabels = { "kubernetes.io/service-name": "kubernetes" };
  try {
    await ensureObjects(parts, [
      { apiVersion: "v1", kind: "Service", metadata: { ...metadata, labels }, spec },
      {
        apiVersion: "v1",
        kind: "Endpoints",
        metadata: { ...metadata, labels: skip },
        subsets: [{ addresses: [{ ip }], ports: [{ ...https, port }] }],
      },
      {
        apiVersion: "discovery.k8s.io/v1",
        kind: "EndpointSlice",
        metadata: { ...metadata, labels: sliceLabels },
        addressType: isIP(ip) === 6 ? "IPv6" : "IPv4",
        endpoints: [{ addresses: [ip], conditions: { ready: true } }],
        ports: [{ ...https, port }],
      },
    ]);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    log.warn("cannot publish the address of the API as Service kubernetes", { error });
  }
}

/** The first address of the range of Services, as upstream. */
const masterIp = "10.96.0.1";

/** Creates those that are missing; one that was changed stays as it is. */
export async function ensurePresent(parts: InstallParts, all: readonly KubeObject[]): Promise<void> {
  const missing = all.filter(({ apiVersion = "", kind: kindName = "", metadata }) => {
    const kind = parts.registry.findKind(apiVersion, kindName);
    return (
      !kind ||
      parts.store.find(resourceOf(kind), `${metadata.namespace ?? ""}/${metadata.name}`) === undefined
    );
  });
  // Writes that arrive together share a commit.
  await Promise.all(missing.map((object) => ensureObject(parts, object)));
}

async function ensureObject({ objects, registry, store }: InstallParts, object: KubeObject): Promise<void> {
  const { apiVersion = "", kind: kindName = "", metadata } = object;
  const kind = registry.findKind(apiVersion, kindName);
  if (!kind)
    throw new ConfigError(
      "unknown-kind",
      `Cannot install ${kindName} "${metadata.name}": no such kind in ${apiVersion}`,
    );
  const namespace = kind.namespaced ? (metadata.namespace ?? "default") : "";
  const name = metadata.name ?? "";
  const body = toJsonObject(structuredClone(object));
  try {
    if (store.find(resourceOf(kind), `${namespace}/${name}`) === undefined) {
      await objects.create({ kind, namespace, name: "" }, body, ownWrite);
    } else {
      const patch = { type: "merge", body: withoutStatus(body) } as const;
      await objects.patch({ kind, namespace, name }, patch, { ...ownWrite, via: "" });
    }
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const text = `Cannot install ${apiVersionOf(kind)} ${kindName} "${name}": ${error.message}`;
    throw new ConfigError("manifest-refused", text, { cause: error });
  }
}

/** The default roles and bindings, in one commit. A failure is logged only: what cannot be stored now is at the next start. */
export async function ensureDefaultRoles(parts: InstallParts, log: Logger): Promise<void> {
  const missing = defaultGrants.flatMap((wanted) => {
    const { kind, metadata } = wanted;
    const plural = kind === "ClusterRole" ? "clusterroles" : "clusterrolebindings";
    const text = parts.store.get(`rbac.authorization.k8s.io/${plural}`, `/${metadata.name}`);
    const next = reconcileDefault(wanted, text === undefined ? undefined : parseKubeObject(text));
    if (next === "not ours")
      log.info("default role was not installed: its name is taken", { kind, name: metadata.name });
    return next === undefined || next === "not ours" ? [] : [next];
  });
  try {
    await Promise.all(missing.map((one) => ensureObject(parts, one)));
  } catch (error) {
    log.error("cannot store the default roles", { error });
  }
}

/** Removes Events that an earlier version stored for events.k8s.io: they are one with those of the core group, and few keep them. */
export async function forgetOldEvents(store: RevisionStore): Promise<void> {
  const resource = "events.k8s.io/events";
  const old = store.list(resource).map(({ key, revision }) => ({ key, text: store.text(revision) ?? "{}" }));
  await Promise.all(
    old.map(({ key, text }) => store.write({ resource, key, object: parseKubeObject(text), remove: true })),
  );
}

function withoutStatus(body: JsonObject): JsonObject {
  const { status: _status, ...rest } = body;
  const { creationTimestamp: _created, ...metadata } = metadataOf(rest);
  return { ...rest, metadata };
}
