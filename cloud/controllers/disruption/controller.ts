import { ignoreMissing, resources } from "#cloud/kube-client";
import {
  ControllerEvents,
  isDeleting,
  OwnWrites,
  WorkQueue,
  type ControllerDeps,
  type PodDisruptionBudget,
  type PodDisruptionBudgetStatus,
  type StartController,
} from "#cloud/controllers/framework";
import { isPodReady } from "#cloud/controllers/workloads/pods";
import { formatLabelSelector, matchesLabelSelector, objectKey, type Pod } from "#shared/kube";
import { budgetState, failedState, needsScale } from "./budget.ts";
import { expectedPods, type Scaled } from "./scales.ts";

/** Keeps the status of PodDisruptionBudgets, as kube-controller-manager's pkg/controller/disruption. */
export const startDisruptionController: StartController = (deps) => {
  const controller = new DisruptionController(deps);
  return { [Symbol.asyncDispose]: () => controller.stop() };
};

class DisruptionController {
  readonly #deps: ControllerDeps;
  readonly #queue: WorkQueue;
  readonly #events: ControllerEvents;
  readonly #written = new OwnWrites<PodDisruptionBudget>();
  readonly #watches: Disposable[];

  constructor(deps: ControllerDeps) {
    const { clock, log } = deps;
    this.#deps = deps;
    this.#events = new ControllerEvents(deps, "controllermanager");
    const reconcile = (key: string): Promise<void> => this.#reconcile(key);
    this.#queue = new WorkQueue({ name: "disruption budgets", clock, log, reconcile });
    const scaled = {
      added: (object: Scaled) => this.#addAll(object),
      updated: (object: Scaled, old: Scaled) => {
        if (object.spec.replicas !== old.spec.replicas) this.#addAll(object);
      },
      removed: (object: Scaled) => this.#addAll(object),
    };
    this.#watches = [
      deps.podDisruptionBudgets.watch({
        added: (budget) => this.#queue.add(objectKey(budget)),
        updated: (budget) => this.#queue.add(objectKey(budget)),
        removed: (budget) => this.#written.forget(budget),
      }),
      deps.pods.watch({
        added: (pod) => this.#addOf(pod),
        updated: (pod, old) => {
          if (!Bun.deepEquals(viewOf(pod), viewOf(old))) this.#addOf(pod, old);
        },
        removed: (pod) => this.#addOf(pod),
      }),
      deps.deployments.watch(scaled),
      deps.replicaSets.watch(scaled),
      deps.replicationControllers.watch(scaled),
      deps.statefulSets.watch(scaled),
    ];
  }

  async stop(): Promise<void> {
    for (const watch of this.#watches) watch[Symbol.dispose]();
    await this.#queue[Symbol.asyncDispose]();
    await this.#events[Symbol.asyncDispose]();
  }

  /** The budgets of a pod, before and after a change. */
  #addOf(...states: readonly Pod[]): void {
    for (const budget of this.#deps.podDisruptionBudgets.list())
      if (states.some((pod) => selects(budget, pod))) this.#queue.add(objectKey(budget));
  }

  /** The controllers of pods may have been scaled. */
  #addAll({ metadata }: Scaled): void {
    for (const budget of this.#deps.podDisruptionBudgets.list())
      if (budget.metadata.namespace === metadata.namespace && needsScale(budget))
        this.#queue.add(objectKey(budget));
  }

  async #reconcile(key: string): Promise<void> {
    const copy = this.#deps.podDisruptionBudgets.get(key);
    if (!copy || isDeleting(copy)) return;
    const budget = this.#written.newest(copy);
    const pods = this.#deps.pods.list().filter((pod) => selects(budget, pod));
    if (pods.length === 0) this.#record(budget, "Normal", "NoPods", "No matching pods found");
    await this.#writeStatus(budget, await this.#statusOf(key, budget, pods));
  }

  async #statusOf(
    key: string,
    budget: PodDisruptionBudget,
    pods: readonly Pod[],
  ): Promise<PodDisruptionBudgetStatus> {
    const nowMs = this.#deps.clock.nowMs();
    const scale = needsScale(budget) ? await expectedPods(this.#deps, pods) : { replicas: 0, unmanaged: [] };
    if ("fault" in scale) {
      const message = `Failed to calculate the number of expected pods: ${scale.fault}`;
      this.#record(budget, "Warning", "CalculateExpectedPodCountFailed", message);
      return failedState(budget, scale.fault, nowMs);
    }
    if (scale.unmanaged.length > 0) this.#record(budget, "Warning", "UnmanagedPods", unmanagedText(budget));
    const state = budgetState(budget, pods, { scale: scale.replicas, nowMs });
    for (const name of state.undeleted) {
      const message = `Pod was expected by PDB ${key} to be deleted but it wasn't`;
      const pod = pods.find(({ metadata }) => metadata.name === name);
      if (pod) this.#events.record(resources.pods, pod, { type: "Warning", reason: "NotDeleted", message });
    }
    if (state.recheckMs !== undefined) this.#queue.addAfter(key, state.recheckMs);
    return state.status;
  }

  #record(budget: PodDisruptionBudget, type: "Normal" | "Warning", reason: string, message: string): void {
    this.#events.record(resources.podDisruptionBudgets, budget, { type, reason, message });
  }

  /** Conditional on the version: an eviction that the API has granted meanwhile must not be forgotten. */
  async #writeStatus(budget: PodDisruptionBudget, status: PodDisruptionBudgetStatus): Promise<void> {
    if (Bun.deepEquals(status, budget.status ?? {})) return;
    const written = await ignoreMissing(
      this.#deps.kube.replace<PodDisruptionBudget>(
        resources.podDisruptionBudgets,
        { ...budget, status },
        { subresource: "status" },
      ),
    );
    if (written) this.#written.wrote(written);
  }
}

/** An absent selector selects no pod, an empty one every pod of the namespace. */
function selects({ metadata, spec }: PodDisruptionBudget, pod: Pod): boolean {
  const { selector } = spec ?? {};
  return (
    selector !== undefined &&
    metadata.namespace === pod.metadata.namespace &&
    matchesLabelSelector(selector, pod.metadata.labels ?? {})
  );
}

/** What of a pod a budget depends on. */
function viewOf(pod: Pod): unknown {
  const { labels, ownerReferences } = pod.metadata;
  return { labels, ownerReferences, isReady: isPodReady(pod), isDeleting: isDeleting(pod) };
}

function unmanagedText({ spec }: PodDisruptionBudget): string {
  const selector = formatLabelSelector(spec?.selector ?? {});
  return `Pods selected by this PodDisruptionBudget (selector: ${selector}) were found to be unmanaged. As a result, the status of the PDB cannot be calculated correctly, which may result in undefined behavior. To account for these pods please set ".spec.minAvailable" field of the PDB to an integer value.`;
}
