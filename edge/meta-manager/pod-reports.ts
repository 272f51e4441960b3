import { encodeEvent, encodePodDeletion, encodePodStatus, type Stamp } from "#edge/edge-hub/codec";
import type { Event, PodStatus } from "#shared/kube";
import type { PodName, StoredObject } from "#shared/topics";
import type { Store } from "#edge/store";
import { podPatchType, readStored } from "./object-rows.ts";

/** As many as a node without a link records in an hour or two; kubelet drops unsent Events as well. */
const maxEvents = 1000;

/** What edged reports about its pods: stored with its outbox row in one commit. */
export class PodReports {
  readonly #store: Store;
  readonly #stamp: Stamp;
  readonly #onStored: (object: StoredObject) => void;

  constructor(store: Store, stamp: Stamp, onStored: (object: StoredObject) => void) {
    this.#store = store;
    this.#stamp = stamp;
    this.#onStored = onStored;
  }

  /** @returns whether there is something new to send */
  podStatus(pod: PodName, status: PodStatus): boolean {
    const { metas } = this.#store;
    const key = metas.keyOf({ ...pod, type: podPatchType });
    const patch = statusPatch(pod.uid, status);
    const stored = readStored(this.#store, metas.keyOf({ ...pod, type: "pod" }));
    if (stored?.metadata.uid !== pod.uid || metas.find(key)?.value === patch) return false;
    this.#store.transaction(() => {
      metas.put({ key, type: podPatchType, value: patch });
      this.#putPatch(key, patch);
    });
    this.#onStored({ type: "pod", namespace: pod.namespace, name: pod.name });
    return true;
  }

  /**
   * Puts every stored status into the outbox again: the cloud may have changed the pods of an unreachable node.
   * @returns whether there is something to send
   */
  repeatStatuses(): boolean {
    const rows = this.#store.metas.listByType(podPatchType);
    this.#store.transaction(() => {
      for (const row of rows) this.#putPatch(row.key, row.value);
    });
    return rows.length > 0;
  }

  /** Removes the rows of a pod and queues its deletion for the cloud. The row of a later pod with this name stays. */
  podTerminated(pod: PodName): void {
    const { metas, outbox } = this.#store;
    const key = metas.keyOf({ ...pod, type: "pod" });
    const removed = this.#store.transaction(() => {
      const stored = readStored(this.#store, key);
      const isIt = stored?.metadata.uid === pod.uid;
      if (isIt) {
        metas.remove(key);
        metas.remove(metas.keyOf({ ...pod, type: podPatchType }));
      }
      outbox.put("pod", `delete/${pod.uid}`, encodePodDeletion(this.#stamp, pod));
      return isIt ? stored : undefined;
    });
    if (removed) this.#onStored({ type: "pod", namespace: pod.namespace, name: pod.name, removed });
  }

  /** An Event replaces an unsent one of its name (its count grew); past a thousand the oldest are dropped. */
  event(event: Event): void {
    const { metas, outbox } = this.#store;
    const { namespace = "", name = "" } = event.metadata;
    this.#store.transaction(() => {
      const key = metas.keyOf({ type: "event", namespace, name });
      outbox.put("event", key, encodeEvent(this.#stamp, event));
      outbox.trim("event", maxEvents);
    });
  }

  #putPatch(key: string, patch: string): void {
    const pod = this.#store.metas.nameOf(key);
    if (pod) this.#store.outbox.put("podstatus", key, encodePodStatus(this.#stamp, pod, patch));
  }
}

/**
 * A strategic merge patch that makes the status of the pod `uid` the given one: fields that are absent here are cleared
 * there. Addresses are replaced as a whole; conditions of other types belong to other controllers and stay.
 */
function statusPatch(uid: string, status: PodStatus): string {
  const { podIPs, hostIPs, conditions, ...rest } = status;
  const absent = { message: null, reason: null, podIP: null, podIPs: null };
  const over = isResizable(status) ? resizeConditions.filter((type) => !hasCondition(status, type)) : [];
  return JSON.stringify({
    metadata: { uid },
    status: {
      ...absent,
      ...(isResizable(status) ? { resize: null } : {}),
      ...rest,
      ...(podIPs ? { podIPs: [replaceAll, ...podIPs] } : {}),
      ...(hostIPs ? { hostIPs: [replaceAll, ...hostIPs] } : {}),
      ...(conditions
        ? {
            conditions: [
              ...conditions.map((one) => ({ message: null, reason: null, ...one })),
              ...over.map((type) => ({ $patch: "delete", type })),
            ],
          }
        : {}),
    },
  });
}

/** Conditions that are gone when what they tell of is over. */
const resizeConditions = ["PodResizePending", "PodResizeInProgress"] as const;

function isResizable({ containerStatuses = [], initContainerStatuses = [] }: PodStatus): boolean {
  return [...containerStatuses, ...initContainerStatuses].some(({ resources }) => resources !== undefined);
}

function hasCondition({ conditions = [] }: PodStatus, type: string): boolean {
  return conditions.some((one) => one.type === type);
}

const replaceAll = { $patch: "replace" } as const;
