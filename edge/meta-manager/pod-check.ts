import { UnavailableError } from "#shared/errors";
import type { Pod, Status } from "#shared/kube";
import type { Logger } from "#shared/log";
import type { ApiAnswer, PodName, PodRequest, PodVerdict } from "#shared/topics";
import type { Store } from "#edge/store";
import type { ReceivedObjects } from "./received-objects.ts";
import { parseRow, readStored } from "./object-rows.ts";

export interface PodCheckOptions {
  /** name of this node */
  readonly node: string;
  readonly store: Store;
  readonly received: ReceivedObjects;
  readonly log: Logger;
  readonly ask: (request: PodRequest) => Promise<ApiAnswer<Pod>>;
  /** Whether "there is no such pod" counts now: the answer of a cloud that may be another one does not. */
  readonly mayRemoveUnknown: () => boolean;
}

type AskedPod = Omit<PodRequest, "timeoutMs">;

/** For the cloud to answer; without an answer the pod stays as it is. */
const askMs = 10_000;

/**
 * Asks the cloud about single pods: those of which containers are found here that the database does not know, and those
 * whose row cannot be read. Nothing but the API's own "not found" about that very uid makes a pod "gone".
 */
export class PodCheck {
  readonly #options: PodCheckOptions;

  constructor(options: PodCheckOptions) {
    this.#options = options;
  }

  /** "unknown" whenever there is no certain answer. A pod that is "here" is stored like one that the cloud sent. */
  async confirm(pod: Omit<PodName, "uid"> & { readonly uid?: string }): Promise<PodVerdict> {
    const { log, mayRemoveUnknown } = this.#options;
    const answer = await this.#ask(pod);
    if (!answer) return "unknown";
    if (answer.object) {
      await this.#keep(answer.object);
      return "here";
    }
    if (!isGone(pod.name, answer.failure)) {
      log.debug("cloud does not answer whether a pod exists", {
        pod: `${pod.namespace}/${pod.name}`,
        answer: answer.failure?.message ?? "",
      });
      return "unknown";
    }
    return mayRemoveUnknown() ? "gone" : "unknown";
  }

  /** Rows that cannot be read are replaced by what the cloud has, and removed when it has nothing. */
  async restoreUnreadable(): Promise<void> {
    const { store, log } = this.#options;
    const unreadable = store.metas.listByType("pod").filter((row) => !parseRow(row.value));
    for (const { key } of unreadable) {
      const pod = store.metas.nameOf(key);
      if (!pod) continue;
      const verdict = await this.confirm({ namespace: pod.namespace, name: pod.name });
      if (verdict === "gone" && !readStored(store, key)) store.metas.remove(key);
      if (verdict !== "unknown") log.info("checked a pod whose row cannot be read", { key, verdict });
    }
  }

  /** @returns undefined without an answer about a pod of this node */
  async #ask({ namespace, name, uid }: AskedPod): Promise<ApiAnswer<Pod> | undefined> {
    const { ask, node } = this.#options;
    try {
      const answer = await ask({ namespace, name, uid, timeoutMs: askMs });
      // KubeEdge's cloudcore also gives pods that are bound to other nodes.
      const nodeName = answer.object?.spec?.nodeName;
      return nodeName === undefined || nodeName === node ? answer : undefined;
    } catch (error) {
      if (error instanceof UnavailableError) return undefined;
      throw error;
    }
  }

  /** Stores a pod that differs from its row, or has none, and notifies edged, as if the cloud had sent it. */
  async #keep(object: Pod): Promise<void> {
    const { store, received } = this.#options;
    const { namespace = "", name = "", resourceVersion } = object.metadata;
    const path = { type: "pod", namespace, name };
    if (readStored(store, store.metas.keyOf(path))?.metadata.resourceVersion === resourceVersion) return;
    await received.deliver({ ...path, operation: "update", object, fromController: true });
  }
}

/** The API's own texts: a proxy's "404 page not found" means nothing for pods. */
function isGone(name: string, failure: Status | undefined): boolean {
  const message = failure?.message ?? "";
  if (failure?.reason === "NotFound") return message === `pods "${name}" not found`;
  return failure?.reason === "Conflict" && message.includes("UID in precondition");
}
