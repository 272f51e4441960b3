import { ControllerEvents, isDeleting, WorkQueue, type ControllerDeps } from "#cloud/controllers/framework";
import { markDisrupted } from "#cloud/controllers/disruption";
import { ignoreMissing, objectAt, resources } from "#cloud/kube-client";
import { objectKey, type Node, type Pod } from "#shared/kube";
import { noExecuteTaints, toleratedSeconds } from "./tolerated.ts";

type EvictionDeps = Pick<ControllerDeps, "kube" | "clock" | "log" | "pods" | "nodes">;

/**
 * Deletes pods from nodes that somebody gave a taint of effect NoExecute, once the pods do not tolerate it any longer, as
 * kube-controller-manager's taint manager. The taints that nodes get for their conditions have other effects: an edge node that
 * is offline keeps its pods.
 */
export function startTaintEviction(deps: EvictionDeps): AsyncDisposable {
  return new TaintEviction(deps);
}

class TaintEviction implements AsyncDisposable {
  readonly #deps: EvictionDeps;
  readonly #events: ControllerEvents;
  readonly #queue: WorkQueue;
  readonly #watches: Disposable[];
  /** Since when pods that will be evicted are on a tainted node, by uid, on the clock of this process. */
  readonly #tainted = new Map<string, number>();

  constructor(deps: EvictionDeps) {
    this.#deps = deps;
    this.#events = new ControllerEvents(deps, "taint-eviction-controller");
    this.#queue = new WorkQueue({
      ...deps,
      name: "taint-eviction",
      reconcile: (key) => this.#reconcile(key),
    });
    const addPod = (pod: Pod): void => this.#podChanged(pod);
    this.#watches = [
      deps.pods.watch({
        added: addPod,
        updated: addPod,
        removed: ({ metadata }) => void this.#tainted.delete(metadata.uid ?? ""),
      }),
      deps.nodes.watch({
        added: (node) => this.#nodeChanged(node),
        updated: (node, old) => this.#nodeChanged(node, old),
      }),
    ];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const watch of this.#watches) watch[Symbol.dispose]();
    await this.#queue[Symbol.asyncDispose]();
    await this.#events[Symbol.asyncDispose]();
  }

  #podChanged(pod: Pod): void {
    const { nodeName } = pod.spec;
    if (nodeName && noExecuteTaints(this.#deps.nodes.get(nodeName)).length > 0)
      this.#queue.add(objectKey(pod));
  }

  #nodeChanged(node: Node, old?: Node): void {
    if (Bun.deepEquals(noExecuteTaints(node), noExecuteTaints(old))) return;
    for (const pod of this.#deps.pods.list())
      if (pod.spec.nodeName === node.metadata.name) this.#queue.add(objectKey(pod));
  }

  async #reconcile(key: string): Promise<void> {
    const { pods, nodes, clock } = this.#deps;
    const pod = pods.get(key);
    if (!pod || isDeleting(pod)) return;
    const uid = pod.metadata.uid ?? "";
    const taints = noExecuteTaints(nodes.get(pod.spec.nodeName ?? ""));
    const seconds = taints.length === 0 ? undefined : toleratedSeconds(pod, taints);
    if (seconds === undefined) {
      if (this.#tainted.delete(uid)) this.#record(pod, "Cancelling deletion of Pod");
      return;
    }
    const sinceMs = this.#tainted.get(uid) ?? clock.monotonicMs();
    this.#tainted.set(uid, sinceMs);
    const leftMs = sinceMs + seconds * 1000 - clock.monotonicMs();
    if (leftMs > 0) this.#queue.addAfter(key, leftMs);
    else await this.#evict(pod);
  }

  async #evict(pod: Pod): Promise<void> {
    const { kube, log } = this.#deps;
    const { uid = "" } = pod.metadata;
    log.info("evicting a pod from a tainted node", { pod: objectKey(pod), node: pod.spec.nodeName });
    this.#record(pod, "Marking for deletion Pod");
    const message = "Taint manager: deleting due to NoExecute taint";
    await markDisrupted(this.#deps, pod, { reason: "DeletionByTaintManager", message });
    await ignoreMissing(kube.remove(resources.pods, objectAt(pod), { uid }), 409);
    this.#tainted.delete(uid);
  }

  #record(pod: Pod, what: string): void {
    const message = `${what} ${objectKey(pod)}`;
    this.#events.record(resources.pods, pod, { type: "Normal", reason: "TaintManagerEviction", message });
  }
}
