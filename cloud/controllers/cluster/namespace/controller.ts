import { ignoreMissing, isKubeError, resources, type Informer, type ResourceType } from "#cloud/kube-client";
import type { ConfigMap, KubeObject } from "#shared/kube";
import type { ControllerDeps } from "#cloud/controllers/framework";
import { emptyOf, namespacedTypes } from "./contents.ts";
import { WorkQueue } from "#cloud/controllers/framework";

const rootCaName = "kube-root-ca.crt";
/** How often a namespace that does not get empty is looked at, besides when one of its pods goes. */
const lookAgainMs = 1_000;

export interface NamespaceDeps extends Pick<
  ControllerDeps,
  "kube" | "clock" | "log" | "namespaces" | "pods"
> {
  /** The API's certificate authority, to be published in each namespace. */
  readonly caPem?: string;
}

/** Gives each namespace its default service account and CA, and empties and ends those being deleted. */
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
    const look = (object: KubeObject): void => this.#queue.add(object.metadata.namespace ?? "");
    this.#watches = [
      namespaces.watch({
        added: (namespace) => this.#queue.add(namespace.metadata.name ?? ""),
        updated: (namespace) => this.#queue.add(namespace.metadata.name ?? ""),
      }),
      this.#accounts.watch({ removed: look }),
      this.#rootCas.watch({ removed: look, updated: look }),
      pods.watch({
        removed: (pod) => {
          if (this.#isEnding(pod.metadata.namespace ?? "")) look(pod);
        },
      }),
    ];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const watch of this.#watches) watch[Symbol.dispose]();
    await this.#queue[Symbol.asyncDispose]();
    await Promise.all([this.#accounts[Symbol.asyncDispose](), this.#rootCas[Symbol.asyncDispose]()]);
  }

  #isEnding(name: string): boolean {
    return this.#deps.namespaces.get(name)?.metadata.deletionTimestamp !== undefined;
  }

  async #reconcile(name: string): Promise<void> {
    if (!this.#deps.namespaces.get(name)) return;
    if (this.#isEnding(name)) await this.#end(name);
    else await Promise.all([this.#keepAccount(name), this.#keepRootCa(name)]);
  }

  async #keepAccount(namespace: string): Promise<void> {
    await this.#accounts.synced;
    if (this.#accounts.get(`${namespace}/default`)) return;
    const metadata = { name: "default", namespace };
    await this.#create(resources.serviceAccounts, { apiVersion: "v1", kind: "ServiceAccount", metadata });
  }

  async #keepRootCa(namespace: string): Promise<void> {
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

  /** Creates what may be there already, or may not be made any more because its namespace has ended meanwhile. */
  async #create(type: ResourceType, object: KubeObject): Promise<void> {
    try {
      await this.#deps.kube.create(type, object);
    } catch (error) {
      const ended = this.#isEnding(object.metadata.namespace ?? "");
      if (!isKubeError(error, 404, 409) && !(ended && isKubeError(error, 403))) throw error;
    }
  }

  async #end(name: string): Promise<void> {
    const { kube, log } = this.#deps;
    let left = 0;
    for (const type of await namespacedTypes(kube)) {
      // oxlint-disable-next-line no-await-in-loop -- owners go before what they own
      left += await emptyOf(kube, type, name);
    }
    if (left > 0) {
      log.debug("namespace is not empty yet", { namespace: name, left });
      this.#queue.addAfter(name, lookAgainMs);
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
