import { isDeepStrictEqual } from "node:util";
import type { Clock } from "#shared/clock";
import type { Container, Pod, PodStatus } from "#shared/kube";
import type { Logger } from "#shared/log";
import { qosClass } from "#shared/scheduling";
import type { PodEvent } from "#edge/edged/events";
import type { Refusal } from "#edge/edged/pods/admission";
import { historyOf, type PodOutcome, type Plan, type Resizer } from "#edge/edged/pods/plan";
import type { Prober } from "#edge/edged/probes";
import { readTerminationLog, terminationLogPath } from "#edge/edged/volumes";
import { crashEvent, failureEvent, fieldPathOf, pullBackoffEvent } from "./events.ts";
import type { PodState } from "./state.ts";
import { deadlineText, podStatus, type PodEnding } from "./status.ts";

export interface PodReporterDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly podDir: string;
  readonly record: (pod: Pod, event: PodEvent) => void;
  readonly publish: (pod: Pod, status: PodStatus) => Promise<void>;
}

export interface ReporterParts {
  readonly prober: Prober;
  readonly resizer: Pick<Resizer, "pending">;
}

/** Reports what happens to one pod: its status when it changes, its Events, and lines in the log of the node. */
export class PodReporter {
  readonly #state: PodState;
  readonly #prober: Prober;
  readonly #resizer: Pick<Resizer, "pending">;
  readonly #deps: PodReporterDeps;
  #last: PodStatus | undefined;
  #ending: PodEnding | undefined;

  constructor(state: PodState, { prober, resizer }: ReporterParts, deps: PodReporterDeps) {
    this.#state = state;
    this.#prober = prober;
    this.#resizer = resizer;
    this.#deps = deps;
  }

  /** As last published, or as the cloud had it before this edgecore started. */
  get status(): PodStatus | undefined {
    return this.#last ?? this.#state.pod.status;
  }

  publish(outcome: PodOutcome): Promise<void> {
    if (outcome === "deadline" && this.status?.reason !== deadlineText.reason)
      this.record(undefined, { type: "Normal", ...deadlineText });
    return this.send(this.compose(outcome));
  }

  /** The status by what is known now. */
  compose(outcome: PodOutcome): PodStatus {
    const { pod, containers, memory } = this.#state;
    return podStatus({
      pod,
      containers: containers.all,
      memory: memory.view(this.#prober),
      outcome,
      previous: this.#last,
      ending: this.#ending,
      hostIp: this.#state.facts().hostIp,
      nowMs: this.#deps.clock.nowMs(),
      ready: (id) => this.#prober.ready(id),
      terminationMessage: (id) => this.#terminationMessage(id),
      resourcesOf: (running) => this.#state.resourcesOf(running),
      pendingResize: this.#resizer.pending,
    });
  }

  async send(status: PodStatus): Promise<void> {
    if (isDeepStrictEqual(status, this.#last)) return;
    this.#last = status;
    await this.#deps.publish(this.#state.pod, status);
  }

  /** From now on the status says why this node ends the pod. */
  end(ending: PodEnding): void {
    const { reason, message } = ending;
    this.#ending = ending;
    this.record(undefined, { type: "Warning", reason, message });
    this.#deps.log.warn("ending pod", { pod: this.#state.key, reason, message });
  }

  /** The node does not run the pod; kubelet: rejectPod. */
  async reject({ reason, message }: Refusal): Promise<void> {
    const { pod } = this.#state;
    this.record(undefined, { type: "Warning", reason, message });
    this.#deps.log.info("pod refused", { pod: this.#state.key, reason, message });
    this.#last = {
      phase: "Failed",
      reason,
      message: `Pod was rejected: ${message}`,
      qosClass: qosClass(pod),
    };
    await this.#deps.publish(pod, this.#last);
  }

  /** An Event of a container, or of the pod as a whole. */
  record(container: Container | undefined, event: PodEvent): void {
    const { pod } = this.#state;
    this.#deps.record(pod, { ...event, ...fieldPathOf(pod, container) });
  }

  /** What could not be started is remembered, recorded and logged; the plan retries it. */
  recordFailure(name: string, error: unknown): void {
    const { clock, log } = this.#deps;
    const container = this.#state.findSpec(name);
    const image = container?.image ?? "";
    const failure = this.#state.memory.failed(name, { error, image, nowMs: clock.nowMs() });
    const event = failureEvent(name, error, failure);
    this.record(event.reason === "FailedMount" ? undefined : container, event);
    log.info("cannot start container of pod", {
      pod: this.#state.key,
      container: name,
      reason: failure.reason,
      error,
    });
  }

  /** Each wait for a restart once, and each pull that backs off from now on. */
  recordWaits(plan: Plan): void {
    const { pod, containers, memory } = this.#state;
    for (const action of plan.actions) {
      if (action.kind !== "wait") continue;
      const container = this.#state.findSpec(action.container);
      const [latest] = historyOf(containers.all, action.container);
      if (!container || !latest || !memory.firstWait(latest.id)) continue;
      this.record(container, crashEvent(pod, container));
    }
    for (const [name, image] of memory.turnPulls(this.#deps.clock.nowMs()))
      this.record(this.#state.findSpec(name), pullBackoffEvent(image));
  }

  #terminationMessage(id: string): string | undefined {
    const identity = this.#state.containers.find(id)?.identity;
    if (!identity) return undefined;
    const path = terminationLogPath(this.#deps.podDir, identity.container, identity.attempt);
    return readTerminationLog(path) ?? this.#state.logTail(id);
  }
}
