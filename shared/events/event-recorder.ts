import { createHash } from "node:crypto";
import { rfc3339, type Clock } from "#shared/clock";
import type { Event, ObjectReference } from "#shared/kube";

export interface DeviceEventRecorderParts {
  readonly node: string;
  readonly clock: Clock;
  /** Settles when the Event is stored for the cloud. */
  readonly emit: (event: Event) => Promise<void>;
}

/** Events counted at a time: those of a node's life are few, those that a client provokes without end. */
const mostCounted = 1000;
/** Kubernetes' limit of the message of an Event, in characters (`core/v1` validation). */
const longestMessage = 1024;

/**
 * Makes Kubernetes Events of type Warning. A repeated one has the same name and a higher count, as client-go's
 * correlator.
 */
export class DeviceEventRecorder {
  readonly #parts: DeviceEventRecorderParts;
  readonly #counts = new Map<string, { readonly first: string; count: number }>();

  constructor(parts: DeviceEventRecorderParts) {
    this.#parts = parts;
  }

  /**
   * Settles when the Event is stored. On a Node the message does not count as a difference: its figures change.
   * @param about the object that the Event is about
   */
  record(about: ObjectReference, reason: string, message: string): Promise<void> {
    const { node, clock, emit } = this.#parts;
    const { kind = "", name = "", namespace = "default", uid = "" } = about;
    const identity = [kind, uid, reason, kind === "Node" ? "" : message];
    const id = createHash("sha256").update(identity.join("\n")).digest("hex").slice(0, 16);
    const now = rfc3339(clock.nowMs());
    const seen = this.#count(id, now);
    return emit({
      apiVersion: "v1",
      kind: "Event",
      metadata: { name: `${name}.${id}`, namespace },
      involvedObject: about,
      reason,
      message: message.slice(0, longestMessage),
      type: "Warning",
      count: seen.count,
      firstTimestamp: seen.first,
      lastTimestamp: now,
      source: { component: "edgecore", host: node },
      reportingComponent: "edgecore",
      reportingInstance: node,
    });
  }

  /** Records an Event on the Node. */
  recordOnNode(reason: string, message: string): Promise<void> {
    const { node } = this.#parts;
    return this.record({ apiVersion: "v1", kind: "Node", name: node, uid: node }, reason, message);
  }

  #count(id: string, now: string): { readonly first: string; readonly count: number } {
    const seen = this.#counts.get(id) ?? { first: now, count: 0 };
    seen.count += 1;
    this.#counts.set(id, seen);
    const [oldest] = this.#counts.keys();
    if (this.#counts.size > mostCounted && oldest !== undefined) this.#counts.delete(oldest);
    return seen;
  }
}
