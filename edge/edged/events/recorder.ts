import { rfc3339, type Clock } from "#shared/clock";
import type { Event, ObjectReference, Pod } from "#shared/kube";

export interface PodEvent {
  readonly type: "Normal" | "Warning";
  /** kubelet's word, e.g. "Pulling" */
  readonly reason: string;
  readonly message: string;
  /** Events of one series are one Event, which has the last message; without it those of one message are. */
  readonly series?: string;
  /** Field path inside the pod, e.g. `spec.containers{web}`. */
  readonly fieldPath?: string;
}

export interface EventRecorderOptions {
  readonly nodeName: string;
  readonly clock: Clock;
  readonly emit: (event: Event) => void;
}

/** Four for each of 110 pods, the default of max-pods; an Event takes about 1 KiB. */
const mostRemembered = 500;
/** Kubernetes refuses Events with a longer message. */
const mostMessageLength = 1024;

/**
 * Reports what happens to pods as Kubernetes Events. A repeated one is the same Event with a higher count, as client-go's
 * EventCorrelator makes it; past a bound the oldest are forgotten, and a repetition is a new Event.
 */
export class EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #seen = new Map<string, Event>();

  constructor(options: EventRecorderOptions) {
    this.#options = options;
  }

  record(pod: Pod, event: PodEvent): void {
    const { name = "", namespace = "default", uid, resourceVersion } = pod.metadata;
    this.#record(
      {
        apiVersion: "v1",
        kind: "Pod",
        namespace,
        name,
        ...(uid === undefined ? {} : { uid }),
        ...(resourceVersion === undefined ? {} : { resourceVersion }),
        ...(event.fieldPath === undefined ? {} : { fieldPath: event.fieldPath }),
      },
      event,
    );
  }

  /** Of the node itself; kubelet puts the name of the node into `uid` as well. */
  recordNode(event: PodEvent): void {
    const { nodeName } = this.#options;
    this.#record({ apiVersion: "v1", kind: "Node", name: nodeName, uid: nodeName }, event);
  }

  #record(object: ObjectReference, event: PodEvent): void {
    const key = [object.kind, object.uid, event.reason, event.fieldPath, event.series ?? event.message].join(
      "\n",
    );
    const before = this.#seen.get(key);
    const now = rfc3339(this.#options.clock.nowMs());
    const next = before
      ? { ...before, message: boundMessage(event), count: (before.count ?? 1) + 1, lastTimestamp: now }
      : this.#create(object, event, now);
    this.#seen.delete(key);
    this.#seen.set(key, next);
    const [oldest] = this.#seen.keys();
    if (this.#seen.size > mostRemembered && oldest !== undefined) this.#seen.delete(oldest);
    this.#options.emit(next);
  }

  #create(involvedObject: ObjectReference, event: PodEvent, now: string): Event {
    const { type, reason } = event;
    const { clock, nodeName } = this.#options;
    const { name = "", namespace = "default" } = involvedObject;
    const unique = Math.floor((clock.nowMs() + clock.random()) * 1e6).toString(16);
    return {
      apiVersion: "v1",
      kind: "Event",
      metadata: { name: `${name}.${unique}`, namespace },
      involvedObject,
      reason,
      message: boundMessage(event),
      type,
      count: 1,
      firstTimestamp: now,
      lastTimestamp: now,
      source: { component: "kubelet", host: nodeName },
      reportingComponent: "kubelet",
      reportingInstance: nodeName,
    };
  }
}

function boundMessage({ message }: PodEvent): string {
  return message.slice(0, mostMessageLength);
}
