import type { Event, PodStatus } from "#shared/kube";
import type { PodName } from "#shared/topics";
import {
  formatResource,
  groups,
  newMessage,
  operations,
  resourceTypes,
  sources,
  type NewMessage,
  type Stamp,
} from "#shared/wire";
import type { Store } from "#edge/store";
import { readStored } from "./downstream.ts";

const maxEvents = 1000;

/** What the edge has to say of its pods: stored with its outbox row in one commit. */
export class Upstream {
  readonly #store: Store;
  readonly #stamp: Stamp;

  constructor(store: Store, stamp: Stamp) {
    this.#store = store;
    this.#stamp = stamp;
  }

  /** @returns whether there is something new to send */
  podStatus(pod: PodName, status: PodStatus): boolean {
    const key = formatResource(resourceTypes.podPatch, pod.namespace, pod.name);
    const patch = statusPatch(pod.uid, status);
    const stored = readStored(this.#store, formatResource(resourceTypes.pod, pod.namespace, pod.name));
    if (stored?.metadata.uid !== pod.uid || this.#store.metas.find(key)?.value === patch) return false;
    this.#store.transaction(() => {
      this.#store.metas.put({ key, type: resourceTypes.podPatch, value: patch });
      this.#putPatch(key, patch);
    });
    return true;
  }

  /** Puts every stored status into the outbox again: the cloud may have marked the pods of an unreachable node. */
  repeatStatuses(): boolean {
    const rows = this.#store.metas.listByType(resourceTypes.podPatch);
    this.#store.transaction(() => {
      for (const row of rows) this.#putPatch(row.key, row.value);
    });
    return rows.length > 0;
  }

  /** Forgets the pod and leaves word for the cloud. A row of a later pod with this name stays. */
  podTerminated(pod: PodName): void {
    const key = formatResource(resourceTypes.pod, pod.namespace, pod.name);
    this.#store.transaction(() => {
      if (readStored(this.#store, key)?.metadata.uid === pod.uid) {
        this.#store.metas.remove(key);
        this.#store.metas.remove(formatResource(resourceTypes.podPatch, pod.namespace, pod.name));
      }
      this.#put("pod", `delete/${pod.uid}`, {
        ...fromEdged,
        operation: operations.delete,
        resource: key,
        content: { gracePeriodSeconds: 0, preconditions: { uid: pod.uid } },
      });
    });
  }

  /** An event replaces an unsent one of its name (its count grew); past a thousand the oldest are dropped. */
  event(event: Event): void {
    const resource = formatResource(resourceTypes.event, event.metadata.namespace, event.metadata.name);
    this.#store.transaction(() => {
      this.#put("event", resource, { ...fromEdged, operation: operations.insert, resource, content: event });
      this.#store.outbox.trim("event", maxEvents);
    });
  }

  #putPatch(resource: string, patch: string): void {
    this.#put("podstatus", resource, { ...fromEdged, operation: operations.patch, resource, content: patch });
  }

  #put(lane: string, key: string, parts: NewMessage): void {
    this.#store.outbox.put(lane, key, JSON.stringify(newMessage(this.#stamp, parts)));
  }
}

const fromEdged = { source: sources.edged, group: groups.meta } as const;

/**
 * A strategic merge patch that makes the status of the pod `uid` what edged says: what is absent here is cleared
 * there. Addresses are replaced as a whole; conditions of other types belong to others and stay.
 */
function statusPatch(uid: string, status: PodStatus): string {
  const { podIPs, hostIPs, conditions, ...rest } = status;
  const absent = { message: null, reason: null, podIP: null, podIPs: null };
  return JSON.stringify({
    metadata: { uid },
    status: {
      ...absent,
      ...rest,
      ...(podIPs ? { podIPs: [replaceAll, ...podIPs] } : {}),
      ...(hostIPs ? { hostIPs: [replaceAll, ...hostIPs] } : {}),
      ...(conditions
        ? { conditions: conditions.map((one) => ({ message: null, reason: null, ...one })) }
        : {}),
    },
  });
}

const replaceAll = { $patch: "replace" } as const;
