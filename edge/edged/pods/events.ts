import { rfc3339, type Clock } from "#shared/clock";
import { AppError, asError } from "#shared/errors";
import type { Container, Event, ObjectReference, Pod } from "#shared/kube";
import { VolumeError } from "#edge/edged/volumes";
import type { PodName } from "#shared/topics";
import { sandboxName, type StartFailure } from "./plan.ts";

export interface PodEvent {
  readonly type: "Normal" | "Warning";
  /** kubelet's word, e.g. "Pulling" */
  readonly reason: string;
  readonly message: string;
  /** Field path inside the pod, e.g. `spec.containers{web}`. */
  readonly fieldPath?: string;
}

export interface EventRecorderOptions {
  readonly nodeName: string;
  readonly clock: Clock;
  readonly emit: (event: Event) => void;
}

const mostRemembered = 500;

/**
 * Tells what happened to pods as Kubernetes Events. A repeated one is the same Event with a higher count;
 * the oldest are forgotten past a bound, after which a repetition counts anew.
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

  /** Of the node itself; kubelet names it by its name there too. */
  recordNode(event: PodEvent): void {
    const { nodeName } = this.#options;
    this.#record({ apiVersion: "v1", kind: "Node", name: nodeName, uid: nodeName }, event);
  }

  #record(object: ObjectReference, event: PodEvent): void {
    const key = [object.kind, object.uid, event.reason, event.fieldPath, event.message].join("\n");
    const before = this.#seen.get(key);
    const now = rfc3339(this.#options.clock.nowMs());
    const next = before
      ? { ...before, count: (before.count ?? 1) + 1, lastTimestamp: now }
      : this.#create(object, event, now);
    this.#seen.delete(key);
    this.#seen.set(key, next);
    const [oldest] = this.#seen.keys();
    if (this.#seen.size > mostRemembered && oldest !== undefined) this.#seen.delete(oldest);
    this.#options.emit(next);
  }

  #create(involvedObject: ObjectReference, { type, reason, message }: PodEvent, now: string): Event {
    const { clock, nodeName } = this.#options;
    const { name = "", namespace = "default" } = involvedObject;
    const unique = Math.floor((clock.nowMs() + clock.random()) * 1e6).toString(16);
    return {
      apiVersion: "v1",
      kind: "Event",
      metadata: { name: `${name}.${unique}`, namespace },
      involvedObject,
      reason,
      message: message.slice(0, 1024),
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

export function removedEvent({ namespace, name, uid }: PodName, containers: number, why: string): PodEvent {
  const message = `Removed ${containers} containers of pod ${namespace}/${name} (${uid}): ${why}`;
  return { type: "Warning", reason: "RemovedUnknownPod", message };
}

/** Why a container or the sandbox could not be started, in kubelet's words. */
export function failureEvent(name: string, error: unknown, failure: StartFailure): PodEvent {
  const text = asError(error).message;
  if (error instanceof VolumeError) return { type: "Warning", reason: "FailedMount", message: text };
  if (name === sandboxName)
    return isRejection(error)
      ? { type: "Warning", reason: error.code, message: text }
      : {
          type: "Warning",
          reason: "FailedCreatePodSandBox",
          message: `Failed to create pod sandbox: ${text}`,
        };
  const message = `Error: ${failure.reason.startsWith("Err") ? failure.reason : text}`;
  return { type: "Warning", reason: "Failed", message };
}

/** What kubelet refuses before it makes anything of a pod, with a reason of its own. */
function isRejection(error: unknown): error is AppError {
  return (
    error instanceof AppError && ["AppArmor", "PodOSNotSupported", "SysctlForbidden"].includes(error.code)
  );
}

export function crashEvent(pod: Pod, container: Container): PodEvent {
  const { name, namespace, uid } = pod.metadata;
  const message = `Back-off restarting failed container ${container.name} in pod ${name}_${namespace}(${uid})`;
  return { type: "Warning", reason: "BackOff", message };
}

export function unhealthyEvent(kind: string, output: string): PodEvent {
  const message = `${kind.slice(0, 1).toUpperCase()}${kind.slice(1)} probe failed: ${output}`;
  return { type: "Warning", reason: "Unhealthy", message };
}

export function pullBackoffEvent(image: string): PodEvent {
  return { type: "Normal", reason: "BackOff", message: `Back-off pulling image "${image}"` };
}

/** `spec.containers{web}`; nothing for the pod as a whole. */
export function fieldPathOf(pod: Pod, container: Container | undefined): { readonly fieldPath?: string } {
  if (!container) return {};
  const list = pod.spec.initContainers?.includes(container) ? "initContainers" : "containers";
  return { fieldPath: `spec.${list}{${container.name}}` };
}
