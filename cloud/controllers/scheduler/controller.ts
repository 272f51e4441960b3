import { isKubeError, objectAt, resources } from "#cloud/kube-client";
import { recordEvent, WorkQueue, type ControllerDeps } from "#cloud/controllers/framework";
import {
  ClaimWriter,
  decide,
  storageViewOf,
  type PodVolumes,
  type StorageView,
} from "#cloud/controllers/storage";
import { rfc3339 } from "#shared/clock";
import { objectKey, type Condition, type KubeObject, type Node, type Pod } from "#shared/kube";
import { needsOf, SchedulerCache, type PodNeeds } from "#cloud/controllers/scheduler/load";
import { schedulingView } from "#shared/scheduling";
import { chooseNode, type ClusterView, type RejectedNode } from "./choose.ts";
import { component, Preemptor } from "./preemptor.ts";

/** Unschedulable pods are retried when a node or pod changes, and after this time in case an event was missed. */
const retryMs = 60_000;

type SchedulerDeps = Pick<
  ControllerDeps,
  | "kube"
  | "clock"
  | "log"
  | "pods"
  | "nodes"
  | "namespaces"
  | "persistentVolumeClaims"
  | "persistentVolumes"
  | "storageClasses"
  | "podDisruptionBudgets"
>;

/** Binds pods without a node to the best node that fits, as kube-scheduler with its default filters. */
export function startScheduler(deps: SchedulerDeps): AsyncDisposable {
  return new Scheduler(deps);
}

class Scheduler implements AsyncDisposable {
  readonly #deps: SchedulerDeps;
  readonly #cache = new SchedulerCache();
  readonly #queue: WorkQueue;
  readonly #preemptor: Preemptor;
  readonly #claimWriter: ClaimWriter;
  readonly #storage: StorageView;
  readonly #unschedulable = new Map<string, PodNeeds>();
  readonly #watches: Disposable[];
  #firstNode = 0;

  constructor(deps: SchedulerDeps) {
    this.#deps = deps;
    this.#preemptor = new Preemptor(deps);
    this.#claimWriter = new ClaimWriter(deps.kube);
    this.#storage = storageViewOf(deps);
    const storageChanged = (): void => this.#retryUnschedulable(usesClaims);
    this.#queue = new WorkQueue({ ...deps, name: "scheduler", reconcile: (key) => this.#schedule(key) });
    this.#watches = [
      deps.nodes.watch({
        added: (node) => this.#nodeChanged(node),
        updated: (node, old) => this.#nodeChanged(node, old),
        removed: (node) => this.#cache.removeNode(node.metadata.name ?? ""),
      }),
      deps.pods.watch({
        added: (pod) => this.#podChanged(pod),
        updated: (pod, old) => this.#podChanged(pod, old),
        removed: (pod) => this.#podRemoved(pod),
      }),
      deps.persistentVolumeClaims.watch({ added: storageChanged, updated: storageChanged }),
      deps.persistentVolumes.watch({ added: storageChanged, updated: storageChanged }),
      deps.storageClasses.watch({ added: storageChanged }),
    ];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const watch of this.#watches) watch[Symbol.dispose]();
    await this.#queue[Symbol.asyncDispose]();
  }

  #nodeChanged(node: Node, old?: Node): void {
    this.#cache.setNode(node);
    if (!old || !Bun.deepEquals(schedulingView(node), schedulingView(old))) this.#retryUnschedulable();
  }

  #podChanged(pod: Pod, old?: Pod): void {
    this.#cache.setPod(pod);
    if (isWaiting(pod)) this.#queue.add(objectKey(pod));
    else if (pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed") this.#retryUnschedulable();
    else if (old && !old.spec.nodeName) this.#retryUnschedulable(dependsOnOthers);
  }

  #podRemoved(pod: Pod): void {
    this.#cache.removePod(pod);
    this.#unschedulable.delete(objectKey(pod));
    if (pod.spec.nodeName) this.#retryUnschedulable();
  }

  /** Those of a higher priority first. */
  #retryUnschedulable(concerns: (needs: PodNeeds) => boolean = () => true): void {
    const waiting = [...this.#unschedulable].filter(([, needs]) => concerns(needs));
    for (const [key] of waiting.toSorted(([, a], [, b]) => b.priority - a.priority)) this.#queue.add(key);
  }

  get #cluster(): ClusterView {
    return {
      loads: this.#cache.loads(),
      firstNode: this.#firstNode,
      namespaceLabels: (name) => this.#deps.namespaces.get(name)?.metadata.labels ?? {},
      storage: this.#storage,
      nominated: (node) => this.#cache.nominatedOn(node),
    };
  }

  async #schedule(key: string): Promise<void> {
    const pod = this.#deps.pods.get(key);
    this.#unschedulable.delete(key);
    if (!pod || !isWaiting(pod) || this.#cache.isAssumed(pod)) return;
    const needs = needsOf(pod);
    const choice = chooseNode(needs, this.#cluster);
    if ("node" in choice) this.#firstNode += choice.lookedAt;
    if ("node" in choice && !choice.volumes?.open.length) {
      await this.#bind(pod, choice.node);
      return;
    }
    this.#unschedulable.set(key, needs);
    this.#queue.addAfter(key, retryMs);
    if ("node" in choice) await this.#bindClaims(pod, choice.node, choice.volumes);
    else await this.#makeRoom(needs, choice.message, choice.rejected);
  }

  async #makeRoom(needs: PodNeeds, obstacle: string, rejected: readonly RejectedNode[]): Promise<void> {
    const { pod } = needs;
    const room = this.#preemptor.plan(needs, rejected, this.#cluster);
    const message = "message" in room ? [obstacle, room.message].filter(Boolean).join(" ") : obstacle;
    await this.#reportUnschedulable(pod, { message, isHopeless: "message" in room && room.isHopeless });
    if ("message" in room) return;
    this.#cache.nominate(pod, room.node);
    for (const [, other] of this.#cache.nominatedOn(room.node))
      if (other.priority < needs.priority) this.#cache.nominate(other.pod, undefined);
    await this.#preemptor.remove(needs, room);
  }

  /** Has the claims bound for the node; the room there is kept until they are, which wakes the pod. */
  async #bindClaims(pod: Pod, name: string, volumes: PodVolumes | undefined): Promise<void> {
    const node = this.#deps.nodes.get(name);
    const decisions = volumes && node ? decide(volumes, node) : undefined;
    if (!decisions) return;
    this.#cache.nominate(pod, name);
    for (const { claim, volume } of decisions) {
      if (volume) await this.#claimWriter.reserve(claim, volume);
      else await this.#claimWriter.selectNode(claim, name);
    }
  }

  async #bind(pod: Pod, node: string): Promise<void> {
    const { name = "", namespace = "default", uid } = pod.metadata;
    const metadata = { name, namespace, ...(uid !== undefined && { uid }) };
    const target = { apiVersion: "v1", kind: "Node", name: node };
    const binding: KubeObject = { apiVersion: "v1", kind: "Binding", metadata, target };
    this.#cache.assume(pod, node);
    try {
      await this.#deps.kube.createSubresource(resources.pods, { name, namespace }, "binding", binding);
    } catch (error) {
      this.#cache.forget(pod);
      if (isKubeError(error, 404)) return;
      throw error;
    }
    const message = `Successfully assigned ${namespace}/${name} to ${node}`;
    await recordEvent(this.#deps, resources.pods, pod, {
      type: "Normal",
      reason: "Scheduled",
      message,
      component,
    });
  }

  /** Without a node where room could be made, the pod is nominated for none. */
  async #reportUnschedulable(
    pod: Pod,
    { message, isHopeless }: { readonly message: string; readonly isHopeless: boolean },
  ): Promise<void> {
    const condition = unschedulableCondition(pod, message, rfc3339(this.#deps.clock.nowMs()));
    const isNominated = isHopeless && Boolean(pod.status?.nominatedNodeName);
    if (isNominated) this.#cache.nominate(pod, undefined);
    if (!condition && !isNominated) return;
    const patch = {
      status: {
        ...(condition && { conditions: [condition] }),
        ...(isNominated && { nominatedNodeName: null }),
      },
    };
    const options = { type: "strategic", subresource: "status" } as const;
    try {
      await this.#deps.kube.patch(resources.pods, objectAt(pod), patch, options);
    } catch (error) {
      if (isKubeError(error, 404)) return;
      throw error;
    }
    if (!condition) return;
    const reason = "FailedScheduling";
    await recordEvent(this.#deps, resources.pods, pod, { type: "Warning", reason, message, component });
  }
}

function usesClaims({ pod }: PodNeeds): boolean {
  return pod.spec.volumes?.some(({ persistentVolumeClaim }) => persistentVolumeClaim) === true;
}

/** Whether a pod that was bound may be what this one waits for. */
function dependsOnOthers({ pod: { spec } }: PodNeeds): boolean {
  const near = spec.affinity?.podAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? [];
  return near.length + (spec.topologySpreadConstraints ?? []).length > 0;
}

/** Undefined when the pod has this condition already. */
function unschedulableCondition(pod: Pod, message: string, now: string): Condition | undefined {
  const known = pod.status?.conditions?.find((condition) => condition.type === "PodScheduled");
  const since = known?.status === "False" ? known.lastTransitionTime : undefined;
  if (known?.status === "False" && known.reason === "Unschedulable" && known.message === message)
    return undefined;
  return {
    type: "PodScheduled",
    status: "False",
    reason: "Unschedulable",
    message,
    lastProbeTime: null,
    lastTransitionTime: since ?? now,
  };
}

function isWaiting(pod: Pod): boolean {
  const { nodeName, schedulerName = component, schedulingGates } = pod.spec;
  if (nodeName || schedulerName !== component || pod.metadata.deletionTimestamp) return false;
  if (Array.isArray(schedulingGates) && schedulingGates.length > 0) return false;
  return pod.status?.phase === undefined || pod.status.phase === "Pending";
}
