import type { Clock } from "#shared/clock";
import type { Pod } from "#shared/kube";

/**
 * Informers are behind by milliseconds. Should an event never come (the object was replaced while a watch was down), the
 * owner is reconciled again after this time, as one that waits for ever would be worse than one pod too many; upstream
 * waits 5 minutes (ExpectationsTimeout).
 */
const expectationMs = 30_000;

interface Expected {
  readonly created: Map<string, number>;
  readonly deleted: Map<string, number>;
}

/**
 * Pods created and deleted for an owner that the local copy does not show yet. While something is missing the
 * owner is not reconciled, or pods would be created and deleted twice; as ControllerExpectations of
 * controller_utils.go.
 */
export class Expectations {
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #byOwner = new Map<string, Expected>();

  constructor(clock: Pick<Clock, "monotonicMs">) {
    this.#clock = clock;
  }

  created(owner: string, podUid: string): void {
    this.#expected(owner).created.set(podUid, this.#clock.monotonicMs() + expectationMs);
  }

  deleted(owner: string, podUid: string): void {
    this.#expected(owner).deleted.set(podUid, this.#clock.monotonicMs() + expectationMs);
  }

  /** The pod is deleted: nothing else will be shown of it. */
  removed(owner: string, podUid: string): void {
    const expected = this.#byOwner.get(owner);
    expected?.created.delete(podUid);
    expected?.deleted.delete(podUid);
  }

  forget(owner: string): void {
    this.#byOwner.delete(owner);
  }

  /** Milliseconds until the last expectation expires, 0 when the pods show everything that was done. */
  waitMs(owner: string, pods: readonly Pod[]): number {
    const expected = this.#byOwner.get(owner);
    if (!expected) return 0;
    for (const { metadata } of pods) {
      expected.created.delete(metadata.uid ?? "");
      if (metadata.deletionTimestamp !== undefined) expected.deleted.delete(metadata.uid ?? "");
    }
    const present = new Set(pods.map(({ metadata }) => metadata.uid));
    for (const uid of expected.deleted.keys()) if (!present.has(uid)) expected.deleted.delete(uid);
    const now = this.#clock.monotonicMs();
    const waits = [...expected.created.values(), ...expected.deleted.values()].map((until) => until - now);
    const longest = Math.max(0, ...waits);
    if (longest === 0) this.#byOwner.delete(owner);
    return longest;
  }

  #expected(owner: string): Expected {
    const found = this.#byOwner.get(owner);
    if (found) return found;
    const created: Expected = { created: new Map(), deleted: new Map() };
    this.#byOwner.set(owner, created);
    return created;
  }
}
