import { ignoreMissing, resources, type Informer } from "#cloud/kube-client";
import { objectKey, type KubeObject, type Pod } from "#shared/kube";
import { WorkQueue, type ControllerDeps } from "#cloud/controllers/framework";
import { serviceOf, sliceManager, slicesManagedBy, writeSlices } from "./slice-writer.ts";
import { slicesOf, type EndpointSlice } from "./slices.ts";
import { endpointsLabels, selectsPod, subsetsOf, type Service, type Subset } from "./subsets.ts";

interface Endpoints extends KubeObject {
  subsets?: Subset[];
}

type EndpointsDeps = Pick<ControllerDeps, "kube" | "clock" | "log" | "pods">;

/**
 * Keeps the Endpoints and EndpointSlices of each Service with a selector: the addresses of its pods, ready or not. As
 * kube-controller-manager's pkg/controller/endpoint and endpointslice.
 */
export function startEndpointsController(deps: EndpointsDeps): AsyncDisposable {
  return new EndpointsController(deps);
}

class EndpointsController implements AsyncDisposable {
  readonly #deps: EndpointsDeps;
  readonly #services: Informer<Service>;
  readonly #slices: Informer<EndpointSlice>;
  readonly #queue: WorkQueue;
  readonly #watches: Disposable[];

  constructor(deps: EndpointsDeps) {
    this.#deps = deps;
    this.#queue = new WorkQueue({ ...deps, name: "endpoints", reconcile: (key) => this.#reconcile(key) });
    this.#services = deps.kube.informer<Service>(resources.services);
    const labelSelector = slicesManagedBy(sliceManager);
    this.#slices = deps.kube.informer<EndpointSlice>(resources.endpointSlices, { labelSelector });
    // What somebody else removes or changes is put right.
    const restore = (slice: EndpointSlice): void => this.#queue.add(serviceOf(slice));
    const check = (service: Service): void => this.#queue.add(objectKey(service));
    this.#watches = [
      this.#services.watch({ added: check, updated: check, removed: check }),
      deps.pods.watch({
        added: (pod) => this.#podChanged(pod),
        updated: (pod, old) => this.#podUpdated(pod, old),
        removed: (pod) => this.#podChanged(pod),
      }),
      this.#slices.watch({ updated: restore, removed: restore }),
    ];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const watch of this.#watches) watch[Symbol.dispose]();
    await this.#queue[Symbol.asyncDispose]();
    await this.#services[Symbol.asyncDispose]();
    await this.#slices[Symbol.asyncDispose]();
  }

  #podUpdated(pod: Pod, old: Pod): void {
    if (Bun.deepEquals(endpointView(pod), endpointView(old))) return;
    this.#podChanged(old);
    this.#podChanged(pod);
  }

  #podChanged(pod: Pod): void {
    for (const service of this.#services.list())
      if (selectsPod(service, pod)) this.#queue.add(objectKey(service));
  }

  async #reconcile(key: string): Promise<void> {
    await this.#services.synced;
    const [namespace = "", name = ""] = key.split("/");
    const service = this.#services.get(key);
    const { kube, pods } = this.#deps;
    const known = await kube.find<Endpoints>(resources.endpoints, { name, namespace });
    if (!service) {
      if (known) await ignoreMissing(kube.remove(resources.endpoints, { name, namespace }), 403);
      return;
    }
    if (!service.spec?.selector) return;
    const selected = pods.list().filter((pod) => selectsPod(service, pod));
    await this.#writeEndpoints(service, known, subsetsOf(service, selected));
    const owner = { type: resources.services, object: service, manager: sliceManager, serviceName: name };
    await writeSlices(kube, owner, slicesOf(service, selected));
  }

  async #writeEndpoints(service: Service, known: Endpoints | undefined, subsets: Subset[]): Promise<void> {
    if (known && Bun.deepEquals(known.subsets ?? [], subsets)) return;
    const { kube } = this.#deps;
    const { name = "", namespace = "" } = service.metadata;
    const metadata = { ...known?.metadata, name, namespace, labels: endpointsLabels(service) };
    const wanted: Endpoints = { apiVersion: "v1", kind: "Endpoints", metadata, subsets };
    if (known) await kube.replace(resources.endpoints, wanted);
    // 403: the namespace is being deleted and accepts no new objects.
    else await ignoreMissing(kube.create(resources.endpoints, wanted), 403);
  }
}

/** The parts of a pod that Endpoints depend on. */
function endpointView(pod: Pod): unknown {
  const ready = pod.status?.conditions?.find((condition) => condition.type === "Ready")?.status;
  const { labels, deletionTimestamp } = pod.metadata;
  return [ready, labels, deletionTimestamp, pod.status?.podIP, pod.status?.phase, pod.spec.nodeName];
}
