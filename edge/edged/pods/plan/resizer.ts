import type { Clock } from "#shared/clock";
import type { Pod } from "#shared/kube";
import type { PodEvent } from "#edge/edged/events";
import type { Refusal } from "#edge/edged/pods/admission";
import { allocatedPod, isLarger, withStatusResources } from "./resize.ts";

export interface ResizerDeps {
  readonly clock: Clock;
  /** Why the node cannot give a pod of its own what it wants now; "never": it has not that much at all. */
  readonly findNoResize: (pod: Pod) => (Refusal & { readonly never: boolean }) | undefined;
  readonly record: (pod: Pod, event: PodEvent) => void;
}

/** A change that the node has not accepted, as the condition PodResizePending shows it. */
export interface PendingResize {
  readonly reason: "Deferred" | "Infeasible";
  readonly message: string;
}

/** Other pods that end wake the worker as well. */
const retryMs = 60_000;

/**
 * Which resources a pod has on this node: those it asks for, once the node has room for them (kubelet's allocation manager). What
 * was accepted before edgecore started is in the status of the pod.
 */
export class Resizer {
  readonly #deps: ResizerDeps;
  #allocated: Pod;
  #wanted: Pod;
  #pending: PendingResize | undefined;
  #askedMs: number | undefined;

  constructor(pod: Pod, deps: ResizerDeps) {
    this.#deps = deps;
    this.#allocated = withStatusResources(pod);
    this.#wanted = pod;
  }

  get pending(): PendingResize | undefined {
    return this.#pending;
  }

  /** When to ask again for room. */
  get retryAtMs(): number | undefined {
    return this.#pending && (this.#askedMs ?? 0) + retryMs;
  }

  /** @returns the pod with the resources it has here from now on */
  take(pod: Pod): Pod {
    this.#wanted = pod;
    return this.#decide();
  }

  /** The same when something else may have become free. */
  retry(): Pod | undefined {
    return this.#pending ? this.#decide() : undefined;
  }

  #decide(): Pod {
    const before = this.#pending;
    const refusal = isLarger(this.#wanted, this.#allocated)
      ? this.#deps.findNoResize(this.#wanted)
      : undefined;
    if (!refusal) {
      this.#pending = undefined;
      this.#allocated = this.#wanted;
      return this.#wanted;
    }
    const { message, never } = refusal;
    this.#pending = { reason: never ? "Infeasible" : "Deferred", message };
    this.#askedMs = this.#deps.clock.nowMs();
    if (before?.reason !== this.#pending.reason)
      this.#deps.record(this.#wanted, {
        type: "Warning",
        reason: `Resize${this.#pending.reason}`,
        message,
      });
    this.#allocated = allocatedPod(this.#wanted, this.#allocated);
    return this.#allocated;
  }
}
