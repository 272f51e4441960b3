import { ignoreMissing, objectAt, resources, type KubeClient } from "#cloud/kube-client";
import { controlledBy, type TypedObject } from "#cloud/controllers/framework";
import type { EndpointSlice, SliceContent } from "./slices.ts";

export const sliceManager = "endpointslice-controller.k8s.io";
export const mirrorManager = "endpointslicemirroring-controller.k8s.io";
const serviceLabel = "kubernetes.io/service-name";
const managerLabel = "endpointslice.kubernetes.io/managed-by";

/** Selects the slices of a manager. */
export function slicesManagedBy(manager: string): string {
  return `${managerLabel}=${manager}`;
}

/** `<namespace>/<name>` of the Service that a slice belongs to. */
export function serviceOf({ metadata }: EndpointSlice): string {
  return `${metadata.namespace ?? ""}/${metadata.labels?.[serviceLabel] ?? ""}`;
}

export interface SliceOwner extends TypedObject {
  readonly manager: string;
  readonly serviceName: string;
}

/** Makes the slices of an owner those wanted: slices with the same ports are kept, as readers follow them by name. */
export async function writeSlices(
  kube: KubeClient,
  owner: SliceOwner,
  wanted: readonly SliceContent[],
): Promise<void> {
  const { namespace = "" } = owner.object.metadata;
  const labelSelector = `${serviceLabel}=${owner.serviceName},${slicesManagedBy(owner.manager)}`;
  const { items } = await kube.list<EndpointSlice>(resources.endpointSlices, { namespace, labelSelector });
  const left = new Set(items.filter(({ metadata }) => metadata.deletionTimestamp === undefined));
  for (const content of wanted) {
    const known = [...left].find((slice) => idOf(slice) === idOf(content));
    if (known) left.delete(known);
    await writeSlice(kube, { ...owner, content, known });
  }
  for (const slice of left) await ignoreMissing(kube.remove(resources.endpointSlices, objectAt(slice)), 403);
}

function idOf({ addressType, ports }: Partial<SliceContent>): string {
  return JSON.stringify([
    addressType,
    (ports ?? []).map(({ name, port, protocol }) => [name, port, protocol]),
  ]);
}

async function writeSlice(
  kube: KubeClient,
  slice: SliceOwner & { readonly content: SliceContent; readonly known: EndpointSlice | undefined },
): Promise<void> {
  const { content, known, object, type, manager, serviceName } = slice;
  const headless = (object["spec"] as { clusterIP?: string } | undefined)?.clusterIP === "None";
  const labels = {
    ...object.metadata.labels,
    ...(headless && { "service.kubernetes.io/headless": "" }),
    [serviceLabel]: serviceName,
    [managerLabel]: manager,
  };
  if (
    known &&
    Bun.deepEquals(known.endpoints ?? [], content.endpoints) &&
    Bun.deepEquals(known.metadata.labels, labels)
  )
    return;
  const { name = "", namespace = "" } = object.metadata;
  const metadata = known
    ? { ...known.metadata, labels }
    : { generateName: `${name}-`, namespace, labels, ownerReferences: [controlledBy(type, object)] };
  const next: EndpointSlice = {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata,
    ...content,
  };
  if (known) await kube.replace(resources.endpointSlices, next);
  // 403: the namespace is being deleted and accepts no new objects.
  else await ignoreMissing(kube.create(resources.endpointSlices, next), 403);
}
