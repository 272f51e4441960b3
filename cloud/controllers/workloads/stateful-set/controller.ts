import { ignoreMissing, objectAt, resources } from "#cloud/kube-client";
import {
  isDeleting,
  WorkQueue,
  type ControllerDeps,
  type ControllerRevision,
  type StartController,
  type StatefulSet,
} from "#cloud/controllers/framework";
import { RevisionHistory, type TemplateRevisions } from "#cloud/controllers/workloads/history";
import { isFinished, OwnedPods, type PodTexts } from "#cloud/controllers/workloads/pods";
import { asError } from "#shared/errors";
import { hasLabels, objectKey, type Pod } from "#shared/kube";
import { ensureClaims, ownClaims, type ClaimRecorder } from "./claims.ts";
import { keepsCurrent, planSet, revisionOf, worldOf, type SetPlan, type SetWorld } from "./plan.ts";
import { identityLabels, ordinalOf, statefulPod } from "./stateful-pod.ts";
import { setStatus } from "./status.ts";

/** Timers take at most 31 bits of milliseconds, 24 days; minReadySeconds may be longer. */
const longestWaitMs = 86_400_000;

/** Keeps the numbered pods of each StatefulSet, as kube-controller-manager's pkg/controller/statefulset. */
export const startStatefulSetController: StartController = (deps) => {
  const controller = new StatefulSetController(deps);
  return { [Symbol.asyncDispose]: () => controller.stop() };
};

const eventText = (verb: string, pod: string, { metadata }: StatefulSet): string =>
  `${verb} Pod ${pod} in StatefulSet ${metadata.name ?? ""}`;

const texts: PodTexts<StatefulSet> = {
  created: (set, pod) => `${eventText("create", pod, set)} successful`,
  createFailed: (set, pod, error) => `${eventText("create", pod, set)} failed error: ${error}`,
  deleted: (set, pod) => `${eventText("delete", pod, set)} successful`,
  deleteFailed: (set, pod, error) => `${eventText("delete", pod, set)} failed error: ${error}`,
};

interface Found {
  readonly world: SetWorld;
  readonly revisions: TemplateRevisions;
  readonly current: ControllerRevision;
}

class StatefulSetController {
  readonly #deps: ControllerDeps;
  readonly #queue: WorkQueue;
  readonly #pods: OwnedPods<StatefulSet>;
  readonly #history: RevisionHistory<StatefulSet>;

  constructor(deps: ControllerDeps) {
    const { clock, log, statefulSets: owners } = deps;
    this.#deps = deps;
    const reconcile = (key: string): Promise<void> => this.#reconcile(key);
    this.#queue = new WorkQueue({ name: "statefulsets", clock, log, reconcile });
    const type = resources.statefulSets;
    const changed = (key: string): void => this.#queue.add(key);
    this.#pods = new OwnedPods(deps, { type, owners, component: "statefulset-controller", texts, changed });
    const hashLabel = "controller.kubernetes.io/hash";
    this.#history = new RevisionHistory(deps, { type, owners, hashLabel, changed });
  }

  async stop(): Promise<void> {
    this.#pods.close();
    this.#history[Symbol.dispose]();
    await this.#queue[Symbol.asyncDispose]();
    await this.#pods[Symbol.asyncDispose]();
  }

  async #reconcile(key: string): Promise<void> {
    const set = this.#deps.statefulSets.get(key);
    if (!set || isDeleting(set)) return;
    const wait = this.#pods.waitMs(set);
    if (wait > 0) {
      this.#queue.addAfter(key, wait);
      return;
    }
    const found = await this.#look(set);
    let failure: unknown;
    try {
      await this.#correct(found);
    } catch (error) {
      failure = error;
    }
    await this.#writeStatus(key, found);
    if (failure !== undefined) throw asError(failure);
  }

  async #look(set: StatefulSet): Promise<Found> {
    const revisions = await this.#history.resolve(set);
    const pods = await this.#pods.claim(set, (pod) => ordinalOf(set, pod) !== undefined);
    const known = [...revisions.old, ...revisions.twins, revisions.current];
    const named = known.find(({ metadata }) => metadata.name === set.status?.currentRevision);
    const current = named ?? revisions.current;
    const world = worldOf(set, pods, {
      currentRevision: current.metadata.name ?? "",
      updateRevision: revisions.current.metadata.name ?? "",
      nowMs: this.#deps.clock.nowMs(),
    });
    return { world, revisions, current };
  }

  async #correct(found: Found): Promise<void> {
    const { world, revisions } = found;
    const { set } = world;
    await this.#keepIdentities(world);
    await this.#carryOut(found, planSet(world));
    const inUse = new Set([world.currentRevision, ...podsOf(world).map(revisionOf)]);
    await this.#history.prune(set, revisions, ({ metadata }) => inUse.has(metadata.name ?? ""));
  }

  /** Labels and claims of the pods that exist; a claim that somebody deleted is made again for a pod that waits for it. */
  async #keepIdentities(world: SetWorld): Promise<void> {
    const { set, slots, condemned } = world;
    for (const { ordinal, pod } of slots) {
      if (pod) await this.#label(set, pod, ordinal);
      if (pod?.status?.phase === "Pending" && !isDeleting(pod))
        await ensureClaims(this.#deps, set, ordinal, this.#recorder(set));
      await ownClaims(this.#deps, set, { ordinal, pod, isCondemned: false });
    }
    for (const pod of condemned) {
      const ordinal = ordinalOf(set, pod) ?? 0;
      await ownClaims(this.#deps, set, { ordinal, pod, isCondemned: true });
    }
  }

  async #label(set: StatefulSet, pod: Pod, ordinal: number): Promise<void> {
    const labels = identityLabels(set, ordinal);
    if (isDeleting(pod) || hasLabels(pod.metadata.labels ?? {}, labels)) return;
    const { uid } = pod.metadata;
    const patch = { metadata: { uid, labels } };
    await this.#deps.kube.patch(resources.pods, objectAt(pod), patch, { type: "merge" });
  }

  async #carryOut({ world, revisions, current }: Found, { create, remove }: SetPlan): Promise<void> {
    const { set } = world;
    for (const pod of remove.filter(isFinished))
      this.#pods.record(
        set,
        "RecreatingFailedPod",
        `StatefulSet ${objectKey(set)} is recreating failed Pod ${pod.metadata.name ?? ""}`,
      );
    await this.#pods.removeAll(set, remove);
    for (const ordinal of create) await ensureClaims(this.#deps, set, ordinal, this.#recorder(set));
    const pods = create.map((ordinal) =>
      statefulPod(set, ordinal, keepsCurrent(set, ordinal) ? current : revisions.current),
    );
    await this.#pods.createAll(set, pods);
  }

  #recorder(set: StatefulSet): ClaimRecorder {
    return (reason, message) => this.#pods.record(set, reason, message);
  }

  async #writeStatus(key: string, { world, revisions }: Found): Promise<void> {
    const { set } = world;
    const { status, availableInMs } = setStatus(world, revisions.collisionCount);
    if (availableInMs !== undefined) this.#queue.addAfter(key, Math.min(availableInMs, longestWaitMs));
    const old: Record<string, unknown> = set.status ?? {};
    const isSame = Object.entries(status).every(([field, value]) => (old[field] ?? 0) === value);
    if (isSame && old["collisionCount"] !== undefined) return;
    const patch = { metadata: { uid: set.metadata.uid }, status };
    const options = { type: "merge", subresource: "status" } as const;
    await ignoreMissing(this.#deps.kube.patch(resources.statefulSets, objectAt(set), patch, options));
  }
}

function podsOf({ slots, condemned }: SetWorld): Pod[] {
  return [...slots.flatMap(({ pod }) => pod ?? []), ...condemned];
}
