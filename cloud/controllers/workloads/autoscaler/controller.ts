import { isKubeError, objectAt, resources, type Informer } from "#cloud/kube-client";
import {
  ControllerEvents,
  isDeleting,
  WorkQueue,
  type ControllerDeps,
  type Scale,
  type StartController,
} from "#cloud/controllers/framework";
import { describeError } from "#shared/errors";
import { meetsLabelExpressions, objectKey, parseLabelSelector, type Pod } from "#shared/kube";
import type { Autoscaler, MetricSpec, PodMetrics } from "./autoscaler.ts";
import { decideReplicas, type Decision, type NewCondition } from "./decide.ts";
import { MetricApis, type MetricReading } from "./metric-apis.ts";
import { ScalingMemory } from "./memory.ts";
import { findTarget, type ScaleTarget } from "./scale-target.ts";
import { statusOf, type NewStatus } from "./status.ts";

/** --horizontal-pod-autoscaler-sync-period of kube-controller-manager. */
const syncEveryMs = 15_000;

/** Scales workloads by the usage of their pods, as kube-controller-manager's pkg/controller/podautoscaler. */
export const startAutoscaler: StartController = (deps) => {
  const controller = new AutoscalerController(deps);
  return { [Symbol.asyncDispose]: () => controller.stop() };
};

class AutoscalerController {
  readonly #deps: ControllerDeps;
  readonly #queue: WorkQueue;
  readonly #events: ControllerEvents;
  readonly #autoscalers: Informer<Autoscaler>;
  readonly #watch: Disposable;
  readonly #apis: MetricApis;
  /** By uid. */
  readonly #memories = new Map<string, ScalingMemory>();

  constructor(deps: ControllerDeps) {
    const { kube, clock, log } = deps;
    this.#deps = deps;
    this.#apis = new MetricApis(kube);
    this.#events = new ControllerEvents(deps, "horizontal-pod-autoscaler");
    const reconcile = (key: string): Promise<void> => this.#reconcile(key);
    this.#queue = new WorkQueue({ name: "horizontalpodautoscalers", clock, log, reconcile });
    this.#autoscalers = kube.informer<Autoscaler>(resources.autoscalers);
    this.#watch = this.#autoscalers.watch({
      added: (one) => this.#queue.add(objectKey(one)),
      updated: (one, old) => {
        if (!Bun.deepEquals(one.spec, old.spec)) this.#queue.add(objectKey(one));
      },
      removed: ({ metadata }) => void this.#memories.delete(metadata.uid ?? ""),
    });
  }

  async stop(): Promise<void> {
    this.#watch[Symbol.dispose]();
    await this.#queue[Symbol.asyncDispose]();
    await this.#autoscalers[Symbol.asyncDispose]();
    await this.#events[Symbol.asyncDispose]();
  }

  async #reconcile(key: string): Promise<void> {
    const autoscaler = this.#autoscalers.get(key);
    if (!autoscaler || isDeleting(autoscaler)) return;
    this.#queue.addAfter(key, syncEveryMs);
    const found = await this.#readScale(autoscaler);
    if ("problem" in found) await this.#fail(autoscaler, found.problem);
    else await this.#scale(autoscaler, found);
  }

  async #readScale(autoscaler: Autoscaler): Promise<FoundScale | { readonly problem: NewCondition }> {
    const { kube } = this.#deps;
    const failed = (why: string): { readonly problem: NewCondition } => ({
      problem: failure(
        "AbleToScale",
        "FailedGetScale",
        `the HPA controller was unable to get the target's current scale: ${why}`,
      ),
    });
    const { kind, name } = autoscaler.spec.scaleTargetRef;
    try {
      const target = await findTarget(kube, autoscaler);
      if (!target) return failed(`no matches for kind "${kind}"`);
      const scale = await kube.get<Scale>(target.type, target.at, { subresource: "scale" });
      const { selector = "" } = scale.status ?? {};
      const parsed = parseLabelSelector(selector);
      if (selector !== "" && parsed.ok) return { target, scale, selector, parsed };
      const message = "the HPA target's scale is missing a selector";
      return { problem: failure("ScalingActive", "InvalidSelector", message) };
    } catch (error) {
      if (!isKubeError(error, 404, 405)) throw error;
      return failed(error.httpStatus === 404 ? error.message : `"${name}" cannot be scaled`);
    }
  }

  async #scale(autoscaler: Autoscaler, found: FoundScale): Promise<void> {
    const nowMs = this.#deps.clock.nowMs();
    const { currentReplicas, statusReplicas } = sizesOf(found.scale);
    const memory = this.#memoryOf(autoscaler, currentReplicas);
    const { metrics, problem } = await this.#readMetrics(autoscaler, found.selector);
    const decision = decideReplicas({
      spec: autoscaler.spec,
      currentReplicas,
      statusReplicas,
      readings: await this.#readOthers(autoscaler, found.selector),
      pods: this.#podsOf(autoscaler, found),
      metrics,
      history: memory,
      nowMs,
    });
    memory.recommend(decision.recommendation, nowMs);
    if (decision.problem) this.#warnOfMetric(autoscaler, decision.problem, problem);
    const outcome =
      decision.replicas === currentReplicas
        ? undefined
        : await this.#resize(autoscaler, found.target, decision);
    const hasScaled = outcome?.status === "True";
    if (hasScaled) memory.scaled(decision.replicas - currentReplicas, nowMs);
    await this.#write(autoscaler, {
      currentReplicas: statusReplicas,
      desiredReplicas: outcome && !hasScaled ? currentReplicas : decision.replicas,
      currentMetrics: decision.currentMetrics,
      conditions: outcome ? [...decision.conditions, outcome] : decision.conditions,
      hasScaled,
      nowMs,
    });
  }

  #memoryOf({ metadata: { uid = "" } }: Autoscaler, replicas: number): ScalingMemory {
    const known = this.#memories.get(uid);
    if (known) return known;
    const made = new ScalingMemory(replicas, this.#deps.clock.nowMs());
    this.#memories.set(uid, made);
    return made;
  }

  async #readMetrics(
    { metadata: { namespace = "" } }: Autoscaler,
    labelSelector: string,
  ): Promise<{ readonly metrics: readonly PodMetrics[]; readonly problem?: string }> {
    try {
      const { items } = await this.#deps.kube.list<PodMetrics>(resources.podMetrics, {
        namespace,
        labelSelector,
      });
      return { metrics: items };
    } catch (error) {
      return { metrics: [], problem: describeError(error) };
    }
  }

  async #readOthers(
    { metadata: { namespace = "" }, spec: { metrics = [] } }: Autoscaler,
    selector: string,
  ): Promise<Map<MetricSpec, MetricReading>> {
    const readings = new Map<MetricSpec, MetricReading>();
    for (const spec of metrics) {
      const reading = await this.#apis.read(spec, { namespace, selector });
      if (reading) readings.set(spec, reading);
    }
    return readings;
  }

  #podsOf({ metadata: { namespace } }: Autoscaler, { parsed }: FoundScale): Pod[] {
    return this.#deps.pods
      .list()
      .filter(({ metadata }) => metadata.namespace === namespace)
      .filter(({ metadata }) => meetsLabelExpressions(parsed.requirements, metadata.labels ?? {}));
  }

  /** @returns the condition that says how it went */
  async #resize(
    autoscaler: Autoscaler,
    { type, at }: ScaleTarget,
    { replicas, reason }: Decision,
  ): Promise<NewCondition> {
    try {
      const options = { type: "merge", subresource: "scale" } as const;
      await this.#deps.kube.patch(type, at, { spec: { replicas } }, options);
    } catch (error) {
      const why = `New size: ${replicas}; reason: ${reason}; error: ${describeError(error)}`;
      this.#record(autoscaler, "Warning", "FailedRescale", why);
      const message = `the HPA controller was unable to update the target scale: ${describeError(error)}`;
      return failure("AbleToScale", "FailedUpdateScale", message);
    }
    this.#record(autoscaler, "Normal", "SuccessfulRescale", `New size: ${replicas}; reason: ${reason}`);
    const message = `the HPA controller was able to update the target scale to ${replicas}`;
    return { type: "AbleToScale", status: "True", reason: "SucceededRescale", message };
  }

  async #fail(autoscaler: Autoscaler, problem: NewCondition): Promise<void> {
    this.#record(autoscaler, "Warning", problem.reason, problem.message);
    await this.#write(autoscaler, { conditions: [problem], nowMs: this.#deps.clock.nowMs() });
  }

  #warnOfMetric(
    autoscaler: Autoscaler,
    { reason, message }: { readonly reason: string; readonly message: string },
    apiProblem: string | undefined,
  ): void {
    const prefix = "the HPA was unable to compute the replica count: ";
    const cause =
      apiProblem === undefined ? "" : `unable to fetch metrics from resource metrics API: ${apiProblem}: `;
    this.#record(autoscaler, "Warning", reason, `${cause}${message.replace(prefix, "")}`);
  }

  #record(autoscaler: Autoscaler, type: "Normal" | "Warning", reason: string, message: string): void {
    this.#events.record(resources.autoscalers, autoscaler, { type, reason, message });
  }

  async #write(autoscaler: Autoscaler, next: NewStatus): Promise<void> {
    const status = statusOf(autoscaler, next);
    if (!status) return;
    const patch = { metadata: { uid: autoscaler.metadata.uid }, status };
    const options = { type: "merge", subresource: "status" } as const;
    await this.#deps.kube.patch(resources.autoscalers, objectAt(autoscaler), patch, options);
  }
}

/** As the target is to be, and as it is. */
function sizesOf({ spec, status }: Scale): {
  readonly currentReplicas: number;
  readonly statusReplicas: number;
} {
  const currentReplicas = spec?.replicas ?? 0;
  return { currentReplicas, statusReplicas: status?.replicas ?? currentReplicas };
}

interface FoundScale {
  readonly target: ScaleTarget;
  readonly scale: Scale;
  readonly selector: string;
  readonly parsed: Extract<ReturnType<typeof parseLabelSelector>, { readonly ok: true }>;
}

function failure(type: NewCondition["type"], reason: string, message: string): NewCondition {
  return { type, status: "False", reason, message };
}
