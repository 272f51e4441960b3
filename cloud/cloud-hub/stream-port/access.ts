import { isAllowed, type KubeClient } from "#cloud/kube-client";
import type { Clock } from "#shared/clock";
import { BoundedCache } from "#shared/lifecycle";

/** The user of a client certificate, as kube-apiserver reads one. */
export interface Caller {
  readonly name: string;
  readonly groups: readonly string[];
}

/** As kubelet keeps what its webhook has allowed; a right that is taken back works for so long. */
const keepMs = 30_000;
const mostKept = 1_024;

const verbs: Readonly<Record<string, string>> = { GET: "get", HEAD: "get", POST: "create" };

/** Asks the API who may use which node, as a kubelet does (`pkg/kubelet/server/auth.go`). */
export class NodeAccess {
  readonly #kube: KubeClient;
  readonly #decisions: BoundedCache<boolean>;

  constructor(kube: KubeClient, clock: Clock) {
    this.#kube = kube;
    this.#decisions = new BoundedCache({ clock, keepMs, most: mostKept });
  }

  /** @throws UnavailableError or KubeError when the API cannot say */
  async mayUse(
    caller: Caller,
    node: string,
    request: { readonly method: string; readonly path: string },
  ): Promise<boolean> {
    const verb = Object.hasOwn(verbs, request.method) ? verbs[request.method] : undefined;
    if (verb === undefined) return false;
    const subresource = subresourceOf(request.path);
    const { name: user, groups } = caller;
    const resourceAttributes = { group: "", version: "v1", resource: "nodes", subresource, name: node, verb };
    return this.#decisions.get(JSON.stringify([user, groups, node, verb, subresource]), () =>
      isAllowed(this.#kube, { user, groups: [...groups, "system:authenticated"], resourceAttributes }),
    );
  }
}

function subresourceOf(path: string): string {
  if (/^\/stats(?:\/|$)/.test(path)) return "stats";
  if (/^\/metrics(?:\/|$)/.test(path)) return "metrics";
  return "proxy";
}
