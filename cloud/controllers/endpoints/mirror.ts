import { resources, type Informer } from "#cloud/kube-client";
import { WorkQueue, type ControllerDeps } from "#cloud/controllers/framework";
import { objectKey, type KubeObject } from "#shared/kube";
import { mirrorManager, writeSlices } from "./slice-writer.ts";
import { mirrorOf } from "./slices.ts";
import type { Service, Subset } from "./subsets.ts";

interface Endpoints extends KubeObject {
  subsets?: Subset[];
}

const skipLabel = "endpointslice.kubernetes.io/skip-mirror";
const leaderAnnotation = "control-plane.alpha.kubernetes.io/leader";

/**
 * Keeps EndpointSlices of Endpoints that users make for Services without a selector: what reads slices alone finds them too. As
 * kube-controller-manager's pkg/controller/endpointslicemirroring.
 */
export function startEndpointsMirror(deps: Pick<ControllerDeps, "kube" | "clock" | "log">): AsyncDisposable {
  const { kube } = deps;
  const endpoints: Informer<Endpoints> = kube.informer<Endpoints>(resources.endpoints);
  const services: Informer<Service> = kube.informer<Service>(resources.services);
  const queue = new WorkQueue({
    ...deps,
    name: "endpoints-mirror",
    reconcile: async (key) => {
      await Promise.all([endpoints.synced, services.synced]);
      const service = services.get(key);
      const mirrored = endpoints.get(key);
      // Slices of what is gone are collected with their owner.
      if (!mirrored || !service || service.spec?.selector) return;
      const owner = { type: resources.endpoints, object: mirrored, manager: mirrorManager };
      const wanted = isMirrored(mirrored) ? mirrorOf(mirrored.subsets ?? []) : [];
      await writeSlices(kube, { ...owner, serviceName: service.metadata.name ?? "" }, wanted);
    },
  });
  const check = (object: KubeObject): void => queue.add(objectKey(object));
  const handler = { added: check, updated: check, removed: check };
  const watches = [endpoints.watch(handler), services.watch(handler)];
  return {
    [Symbol.asyncDispose]: async () => {
      for (const watch of watches) watch[Symbol.dispose]();
      await queue[Symbol.asyncDispose]();
      await Promise.all([endpoints[Symbol.asyncDispose](), services[Symbol.asyncDispose]()]);
    },
  };
}

function isMirrored({ metadata: { labels = {}, annotations = {} } }: Endpoints): boolean {
  return labels[skipLabel] !== "true" && annotations[leaderAnnotation] === undefined;
}
