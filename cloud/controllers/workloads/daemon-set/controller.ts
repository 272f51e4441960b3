import { ignoreMissing, objectAt, resources } from "#cloud/kube-client";
import {
  isDeleting,
  WorkQueue,
  type ControllerDeps,
  type DaemonSet,
  type StartController,
} from "#cloud/controllers/framework";
import { RevisionHistory, type TemplateRevisions } from "#cloud/controllers/workloads/history";
import { isFinished, OwnedPods } from "#cloud/controllers/workloads/pods";
import { asError } from "#shared/errors";
import { objectKey, type Node, type Pod } from "#shared/kube";
import { schedulingView } from "#shared/scheduling";
import { daemonPod, nodeOf, revisionLabel } from "./daemon-pod.ts";
import { FailureBackoff } from "./failure-backoff.ts";
import { balance, rollOut, worldOf, type DaemonPlan, type DaemonWorld } from "./plan.ts";
import { daemonSetStatus } from "./status.ts";

/** Pods created or deleted in one run; BurstReplicas of daemon_controller.go. */
const burst = 250;
/** Timers take at most 31 bits of milliseconds, 24 days; minReadySeconds may be longer. */
const longestWaitMs = 86_400_000;

/** Keeps a pod of each DaemonSet on every node that should have one, as kube-controller-manager's pkg/controller/daemon. */
export const startDaemonSetController: StartController = (deps) => {
  const controller = new DaemonSetController(deps);
  return { [Symbol.asyncDispose]: () => controller.stop() };
};

class DaemonSetController {
  readonly #deps: ControllerDeps;
  readonly #queue: WorkQueue;
  readonly #pods: OwnedPods<DaemonSet>;
  readonly #history: RevisionHistory<DaemonSet>;
  readonly #backoff: FailureBackoff;
  readonly #watch: Disposable;

  constructor(deps: ControllerDeps) {
    const { clock, log, daemonSets: owners } = deps;
    this.#deps = deps;
    this.#backoff = new FailureBackoff(clock);
    const reconcile = (key: string): Promise<void> => this.#reconcile(key);
    this.#queue = new WorkQueue({ name: "daemonsets", clock, log, reconcile });
    const type = resources.daemonSets;
    const changed = (key: string): void => this.#queue.add(key);
    this.#pods = new OwnedPods(deps, { type, owners, component: "daemonset-controller", changed });
    this.#history = new RevisionHistory(deps, { type, owners, hashLabel: revisionLabel, changed });
    this.#watch = deps.nodes.watch({
      added: () => this.#nodesChanged(),
      updated: (node, old) => {
        if (!Bun.deepEquals(viewOf(node), viewOf(old))) this.#nodesChanged();
      },
      removed: () => this.#nodesChanged(),
    });
  }

  #nodesChanged(): void {
    for (const daemonSet of this.#deps.daemonSets.list()) this.#queue.add(objectKey(daemonSet));
  }

  async stop(): Promise<void> {
    this.#watch[Symbol.dispose]();
    this.#pods.close();
    this.#history[Symbol.dispose]();
    await this.#queue[Symbol.asyncDispose]();
    await this.#pods[Symbol.asyncDispose]();
  }

  async #reconcile(key: string): Promise<void> {
    const daemonSet = this.#deps.daemonSets.get(key);
    if (!daemonSet || isDeleting(daemonSet)) return;
    const wait = this.#pods.waitMs(daemonSet);
    if (wait > 0) {
      this.#queue.addAfter(key, wait);
      return;
    }
    const revisions = await this.#history.resolve(daemonSet);
    const world = await this.#look(daemonSet, revisions);
    let failure: unknown;
    try {
      await this.#correct(world, hashOf(revisions));
      await this.#history.prune(daemonSet, revisions, (revision) => isInUse(world, revision));
    } catch (error) {
      failure = error;
    }
    await this.#writeStatus(key, world, revisions.collisionCount);
    if (failure !== undefined) throw asError(failure);
  }

  async #look(daemonSet: DaemonSet, { current, twins }: TemplateRevisions): Promise<DaemonWorld> {
    const pods = await this.#pods.claim(daemonSet, () => true);
    const hashes = new Set([current, ...twins].map(({ metadata }) => metadata.labels?.[revisionLabel]));
    return worldOf(daemonSet, {
      nodes: this.#deps.nodes.list(),
      pods,
      isUpdated: ({ metadata }) => hashes.has(metadata.labels?.[revisionLabel] ?? ""),
      nowMs: this.#deps.clock.nowMs(),
    });
  }

  /** First each node gets what it lacks; only a DaemonSet with nothing left to do there is updated. */
  async #correct(world: DaemonWorld, hash: string): Promise<void> {
    const needed = this.#withBackoff(world, balance(world));
    const isSettled = needed.create.length === 0 && needed.remove.length === 0;
    const { type = "RollingUpdate" } = world.daemonSet.spec.updateStrategy ?? {};
    if (!isSettled) await this.#carryOut(world.daemonSet, needed, hash);
    else if (type === "RollingUpdate") await this.#carryOut(world.daemonSet, rollOut(world), hash);
  }

  async #carryOut(daemonSet: DaemonSet, { create, remove }: DaemonPlan, hash: string): Promise<void> {
    const pods = create.slice(0, burst).map((node) => daemonPod(daemonSet, node, hash));
    const created = this.#pods.createAll(daemonSet, pods);
    const removed = this.#pods.removeAll(daemonSet, remove.slice(0, burst));
    const [first, second] = await Promise.allSettled([created, removed]);
    for (const result of [first, second]) if (result.status === "rejected") throw asError(result.reason);
  }

  /** A node that fails each pod at once gets the next one after a while. */
  #withBackoff(world: DaemonWorld, plan: DaemonPlan): DaemonPlan {
    return {
      create: plan.create,
      remove: plan.remove.filter((pod) => this.#mayRemove(world.daemonSet, pod)),
    };
  }

  #mayRemove(daemonSet: DaemonSet, pod: Pod): boolean {
    if (!isFinished(pod)) return true;
    const node = nodeOf(pod) ?? "";
    const place = `daemon pod ${objectKey(pod)} on node ${node}`;
    if (pod.status?.phase === "Succeeded") {
      this.#pods.record(daemonSet, "SucceededDaemonPod", `Found succeeded ${place}, will try to delete it`);
      return true;
    }
    const { uid = "", generation = 0 } = daemonSet.metadata;
    const waitMs = this.#backoff.next(`${uid}/${generation}/${node}`);
    if (waitMs > 0) this.#queue.addAfter(objectKey(daemonSet), waitMs);
    else this.#pods.record(daemonSet, "FailedDaemonPod", `Found failed ${place}, will try to kill it`);
    return waitMs === 0;
  }

  async #writeStatus(key: string, world: DaemonWorld, collisionCount: number): Promise<void> {
    const { daemonSet } = world;
    const { status, availableInMs } = daemonSetStatus(world, collisionCount);
    if (availableInMs !== undefined) this.#queue.addAfter(key, Math.min(availableInMs, longestWaitMs));
    const old: Record<string, unknown> = daemonSet.status ?? {};
    if (Object.entries(status).every(([field, value]) => (old[field] ?? 0) === value)) return;
    const patch = { metadata: { uid: daemonSet.metadata.uid }, status };
    const options = { type: "merge", subresource: "status" } as const;
    await ignoreMissing(this.#deps.kube.patch(resources.daemonSets, objectAt(daemonSet), patch, options));
  }
}

function hashOf({ current }: TemplateRevisions): string {
  return current.metadata.labels?.[revisionLabel] ?? current.metadata.name ?? "";
}

function isInUse({ nodes }: DaemonWorld, { metadata }: TemplateRevisions["current"]): boolean {
  const hash = metadata.labels?.[revisionLabel];
  return nodes.some(({ pods }) => pods.some((pod) => pod.metadata.labels?.[revisionLabel] === hash));
}

/** What decides where pods run, and whether a node takes part in an update. */
function viewOf(node: Node): unknown {
  const ready = node.status?.conditions?.find(({ type }) => type === "Ready")?.status;
  return [schedulingView(node), ready];
}
