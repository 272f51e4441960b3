import { UnavailableError } from "#shared/errors";
import type { Pod, Status } from "#shared/kube";
import type { Logger } from "#shared/log";
import type { ApiAnswer, PodName, PodRequest, PodVerdict } from "#shared/topics";
import type { Store } from "#edge/store";
import { parseRow, readStored, type Downstream } from "./downstream.ts";

export interface PodCheckOptions {
  readonly node: string;
  readonly store: Store;
  readonly downstream: Downstream;
  readonly log: Logger;
  readonly ask: (request: PodRequest) => Promise<ApiAnswer<Pod>>;
  /** Whether "there is no such pod" counts now: the word of a cloud that may not be ours does not. */
  readonly mayRemoveUnknown: () => boolean;
}

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

  async confirm(pod: Pick<PodName, "namespace" | "name"> & { readonly uid?: string }): Promise<PodVerdict> {
    const { log, mayRemoveUnknown } = this.#options;
    const answer = await this.#ask(pod);
    if (!answer) return "unknown";
    if (answer.object) {
      await this.#keep(answer.object);
      return "here";
    }
    if (!isGone(pod.name, answer.failure)) {
      log.debug("cloud does not say whether a pod exists", {
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
      const path = store.metas.nameOf(key);
      if (!path) continue;
      const verdict = await this.confirm({ namespace: path.namespace, name: path.name });
      if (verdict === "gone" && !readStored(store, key)) store.metas.remove(key);
      if (verdict !== "unknown") log.info("unreadable pod settled", { key, verdict });
    }
  }

  async #ask(pod: Omit<PodRequest, "timeoutMs">): Promise<ApiAnswer<Pod> | undefined> {
    const { namespace, name, uid } = pod;
    try {
      return this.#ofThisNode(await this.#options.ask({ namespace, name, uid, timeoutMs: askMs }));
    } catch (error) {
      if (error instanceof UnavailableError) return undefined;
      throw error;
    }
  }

  /** KubeEdge's cloudcore also gives pods that are bound to other nodes: such an answer says nothing of this node. */
  #ofThisNode(answer: ApiAnswer<Pod>): ApiAnswer<Pod> | undefined {
    const nodeName = answer.object?.spec?.nodeName;
    return nodeName === undefined || nodeName === this.#options.node ? answer : undefined;
  }

  /** A pod that is newer than its row, or has none, is stored and told as one that the cloud sent. */
  async #keep(object: Pod): Promise<void> {
    const { store, downstream } = this.#options;
    const { namespace = "", name = "", resourceVersion } = object.metadata;
    const path = { type: "pod", namespace, name };
    if (readStored(store, store.metas.keyOf(path))?.metadata.resourceVersion === resourceVersion) return;
    await downstream.deliver({ ...path, operation: "update", object, fromController: true });
  }
}

/** The API's own words: a proxy's "404 page not found" says nothing of pods. */
function isGone(name: string, failure: Status | undefined): boolean {
  const message = failure?.message ?? "";
  if (failure?.reason === "NotFound") return message === `pods "${name}" not found`;
  return failure?.reason === "Conflict" && message.includes("UID in precondition");
}
