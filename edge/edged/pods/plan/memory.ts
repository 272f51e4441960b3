import { AppError, asError } from "#shared/errors";
import type { ContainerDetails } from "#edge/runtime";
import { nextCrash, type CrashBackoff } from "./crash-backoff.ts";
import { sandboxName } from "./history.ts";

/** What the engine does not know: kept by the worker. */
export interface PlanMemory {
  /** By the wall clock, for its status. */
  readonly podStartMs: number;
  /** For how long it has been active: by a clock that is not set, as far as this edgecore has seen it. */
  readonly activeMs: number;
  readonly crashes: ReadonlyMap<string, CrashBackoff>;
  /** By container name, and `sandboxName` for the pod as a whole. */
  readonly failures: ReadonlyMap<string, StartFailure>;
  /** Ids of containers whose liveness or startup probe failed. */
  readonly unhealthy: ReadonlySet<string>;
  /** Ids of sidecars that count as started. */
  readonly started: (id: string) => boolean;
}

export interface StartFailure {
  /** As in a waiting state, e.g. "ErrImagePull" */
  readonly reason: string;
  readonly message: string;
  readonly failedAtMs: number;
  readonly retryAtMs: number;
  readonly count: number;
}

interface Failed extends StartFailure {
  readonly image: string;
  /** When a failed pull is shown as backing off; undefined once it is, and for other failures. */
  readonly turnsAtMs: number | undefined;
}

/**
 * First and longest wait after each kind of failure, in milliseconds. Pulls as kubelet (image back-off); what waits for
 * an object is also woken by its arrival; sandboxes retry soon, because their usual failure is a port still in use.
 */
const retryWaits: Readonly<Record<string, readonly [number, number]>> = {
  ErrImagePull: [10_000, 300_000],
  CreateContainerConfigError: [5_000, 60_000],
  ContainerCreating: [2_000, 60_000],
  [sandboxName]: [1_000, 30_000],
};

/** kubelet: reasons of containers whose image is not here. */
const imageReasons: ReadonlySet<string> = new Set(["ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull"]);

/** Ends of containers whose back-off was recorded; a pod has few containers, and each end is asked about once. */
const mostRecorded = 50;

/** What one worker remembers between its passes. */
export class PodMemory {
  readonly #podStartMs: number;
  readonly #activeMs: () => number;
  readonly #crashes = new Map<string, CrashBackoff>();
  readonly #failures = new Map<string, Failed>();
  #recorded = new Set<string>();

  constructor(podStartMs: number, activeMs: () => number = () => 0) {
    this.#podStartMs = podStartMs;
    this.#activeMs = activeMs;
  }

  view(probes: {
    readonly started: (id: string) => boolean;
    readonly unhealthy: () => ReadonlySet<string>;
  }): PlanMemory {
    return {
      podStartMs: this.#podStartMs,
      activeMs: this.#activeMs(),
      crashes: this.#crashes,
      failures: this.#failures,
      unhealthy: probes.unhealthy(),
      started: (id) => probes.started(id),
    };
  }

  /** @returns whether it had failed before */
  succeeded(name: string): boolean {
    return this.#failures.delete(name);
  }

  restarted(ended: ContainerDetails): void {
    const name = ended.identity.container;
    this.#crashes.set(name, nextCrash(this.#crashes.get(name), ended));
    this.#recorded.delete(ended.id);
  }

  failed(
    name: string,
    what: { readonly error: unknown; readonly image: string; readonly nowMs: number },
  ): StartFailure {
    const { error, image, nowMs } = what;
    const before = this.#failures.get(name);
    const reason = reasonOf(error);
    const count = (before?.count ?? 0) + 1;
    const [first, cap] = retryWaits[name] ?? retryWaits[reason] ?? [10_000, 300_000];
    const retryAtMs = nowMs + Math.min(cap, first * 2 ** Math.min(20, count - 1));
    const turnsAtMs = reason === "ErrImagePull" ? nowMs + 1000 : undefined;
    const message = reason === "ContainerCreating" ? "" : asError(error).message;
    const failure = { reason, message, failedAtMs: nowMs, retryAtMs, count, image, turnsAtMs };
    this.#failures.set(name, failure);
    return failure;
  }

  /** What waits for a ConfigMap, a Secret or a volume may be retried at once. */
  retryConfig(): void {
    for (const [name, { reason }] of this.#failures) {
      if (reason === "CreateContainerConfigError" || reason === "ContainerCreating")
        this.#failures.delete(name);
    }
  }

  /** What waits for an image may be retried at once. @returns whether anything does */
  retryImages(): boolean {
    const waiting = [...this.#failures].filter(([, { reason }]) => imageReasons.has(reason));
    for (const [name] of waiting) this.#failures.delete(name);
    return waiting.length > 0;
  }

  /** Failed pulls that are backing off from now on, as [container, image]. */
  turnPulls(nowMs: number): [string, string][] {
    const turned: [string, string][] = [];
    for (const [name, failure] of this.#failures) {
      if (failure.turnsAtMs === undefined || nowMs < failure.turnsAtMs) continue;
      const message = `Back-off pulling image "${failure.image}"`;
      this.#failures.set(name, { ...failure, reason: "ImagePullBackOff", message, turnsAtMs: undefined });
      turned.push([name, failure.image]);
    }
    return turned;
  }

  nextTurnMs(): number | undefined {
    const times = [...this.#failures.values()].map((one) => one.turnsAtMs).filter((ms) => ms !== undefined);
    return times.length > 0 ? Math.min(...times) : undefined;
  }

  /** Whether the back-off after this end was not recorded yet. */
  firstWait(id: string): boolean {
    if (this.#recorded.has(id)) return false;
    this.#recorded = new Set([...this.#recorded, id].slice(-mostRecorded));
    return true;
  }
}

function reasonOf(error: unknown): string {
  const code = error instanceof AppError ? error.code : "";
  // Codes of start errors are reasons already; anything else is a volume or sandbox that cannot be created.
  return /^[A-Z]/.test(code) ? code : "ContainerCreating";
}
