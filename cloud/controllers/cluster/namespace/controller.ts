import { ignoreMissing, isKubeError, resources, type Informer, type ResourceType } from "#cloud/kube-client";
import type { ConfigMap, KubeObject } from "#shared/kube";
import { WorkQueue, type ControllerDeps } from "#cloud/controllers/framework";
import { deleteAll, namespacedTypes } from "./contents.ts";

const rootCaName = "kube-root-ca.crt";
/** How often a namespace that is not empty yet is checked, besides when one of its pods is deleted. */
const recheckMs = 1_000;

export interface NamespaceDeps extends Pick<
  ControllerDeps,
  "kube" | "clock" | "log" | "namespaces" | "pods"
> {
  /** The certificate authority of the API, published in each namespace. */
  readonly caPem?: string;
}

/**
 * Creates the default ServiceAccount and the ConfigMap with the API's CA in each namespace, and empties namespaces being
 * deleted. As kube-controller-manager's serviceaccount, root-ca-certificate-publisher and namespace controllers.
 */
export function startNamespaceController(deps: NamespaceDeps): AsyncDisposable {
  return new NamespaceController(deps);
}

class NamespaceController implements AsyncDisposable {
  readonly #deps: NamespaceDeps;
  readonly #queue: WorkQueue;
  readonly #accounts: Informer<KubeObject>;
  readonly #rootCas: Informer<ConfigMap>;
  readonly #watches: Disposable[];

  constructor(deps: NamespaceDeps) {
    this.#deps = deps;
    this.#queue = new WorkQueue({ ...deps, name: "namespace", reconcile: (name) => this.#reconcile(name) });
    const { kube, namespaces, pods } = deps;
    this.#accounts = kube.informer(resources.serviceAccounts, { fieldSelector: "metadata.name=default" });
    this.#rootCas = kube.informer(resources.configMaps, { fieldSelector: `metadata.name=${rootCaName}` });
    const check = (object: KubeObject): void => this.#queue.add(object.metadata.namespace ?? "");
    this.#watches = [
      namespaces.watch({
        added: (namespace) => this.#queue.add(namespace.metadata.name ?? ""),
        updated: (namespace) => this.#queue.add(namespace.metadata.name ?? ""),
      }),
      this.#accounts.watch({ removed: check }),
      this.#rootCas.watch({ removed: check, updated: check }),
      pods.watch({
        removed: (pod) => {
          if (this.#isTerminating(pod.metadata.namespace ?? "")) check(pod);
        },
      }),
    ];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const watch of this.#watches) watch[Symbol.dispose]();
    await this.#queue[Symbol.asyncDispose]();
    await Promise.all([this.#accounts[Symbol.asyncDispose](), this.#rootCas[Symbol.asyncDispose]()]);
  }

  #isTerminating(name: string): boolean {
    return this.#deps.namespaces.get(name)?.metadata.deletionTimestamp !== undefined;
  }

  async #reconcile(name: string): Promise<void> {
    if (!this.#deps.namespaces.get(name)) return;
    if (this.#isTerminating(name)) await this.#terminate(name);
    else await Promise.all([this.#ensureAccount(name), this.#ensureRootCa(name)]);
  }

  async #ensureAccount(namespace: string): Promise<void> {
    await this.#accounts.synced;
    if (this.#accounts.get(`${namespace}/default`)) return;
    const metadata = { name: "default", namespace };
    await this.#create(resources.serviceAccounts, { apiVersion: "v1", kind: "ServiceAccount", metadata });
  }

  async #ensureRootCa(namespace: string): Promise<void> {
    const { caPem, kube } = this.#deps;
    if (caPem === undefined) return;
    await this.#rootCas.synced;
    const known = this.#rootCas.get(`${namespace}/${rootCaName}`);
    const data = { "ca.crt": caPem };
    if (known && Bun.deepEquals(known.data, data)) return;
    const metadata = { name: rootCaName, namespace };
    const wanted: ConfigMap = { apiVersion: "v1", kind: "ConfigMap", metadata, data };
    if (known) await kube.replace(resources.configMaps, wanted);
    else await this.#create(resources.configMaps, wanted);
  }

  /** Creates an object that may exist already, or whose namespace may be deleted meanwhile. */
  async #create(type: ResourceType, object: KubeObject): Promise<void> {
    try {
      await this.#deps.kube.create(type, object);
    } catch (error) {
      const isTerminating = this.#isTerminating(object.metadata.namespace ?? "");
      if (!isKubeError(error, 404, 409) && !(isTerminating && isKubeError(error, 403))) throw error;
    }
  }

  async #terminate(name: string): Promise<void> {
    const { kube, log } = this.#deps;
    let left = 0;
    for (const type of await namespacedTypes(kube)) {
      // One kind after the other: owners before their dependents.
      left += await deleteAll(kube, type, name);
    }
    if (left > 0) {
      log.debug("namespace is not empty yet", { namespace: name, left });
      this.#queue.addAfter(name, recheckMs);
      return;
    }
    const namespace = await kube.find<Namespace>(resources.namespaces, { name });
    if (!namespace?.metadata.deletionTimestamp) return;
    const finalizers = (namespace.spec?.finalizers ?? []).filter((finalizer) => finalizer !== "kubernetes");
    const finalized = { ...namespace, spec: { ...namespace.spec, finalizers } };
    await ignoreMissing(kube.replace(resources.namespaces, finalized, { subresource: "finalize" }));
  }
}

interface Namespace extends KubeObject {
  spec?: { finalizers?: string[] };
}
