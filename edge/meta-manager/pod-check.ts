import { UnavailableError } from "#shared/errors";
import type { KubeObject, Pod, Status } from "#shared/kube";
import type { Logger } from "#shared/log";
import type { PodName, PodVerdict } from "#shared/topics";
import {
  formatResource,
  groups,
  newMessage,
  operations,
  parseResource,
  resourceTypes,
  sources,
  type NewMessage,
  type Stamp,
  type WireMessage,
} from "#shared/wire";
import type { Store } from "#edge/store";
import { parseRow, readStored, type Downstream } from "./downstream.ts";

export interface PodCheckOptions {
  readonly node: string;
  readonly store: Store;
  readonly downstream: Downstream;
  readonly stamp: Stamp;
  readonly log: Logger;
  readonly ask: (message: NewMessage & { readonly timeoutMs: number }) => Promise<WireMessage>;
  /** Whether "there is no such pod" counts now: the word of a cloud that may not be ours does not. */
  readonly mayRemoveUnknown: () => boolean;
}

const askMs = 10_000;

/**
 * Asks the cloud about single pods: those of which containers are found here that the database does not know, and those
 * whose row cannot be read. The question is an empty status patch, which every KubeEdge cloud answers with the pod as
 * it is, or with the API's own "not found". Nothing but that answer, about that very uid, makes a pod "gone".
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
    const unreadable = store.metas.listByType(resourceTypes.pod).filter((row) => !parseRow(row.value));
    for (const { key } of unreadable) {
      const path = parseResource(key);
      if (!path) continue;
      const verdict = await this.confirm({ namespace: path.namespace, name: path.name });
      if (verdict === "gone" && !readStored(store, key)) store.metas.remove(key);
      if (verdict !== "unknown") log.info("unreadable pod settled", { key, verdict });
    }
  }

  async #ask({
    namespace,
    name,
    uid,
  }: {
    readonly namespace: string;
    readonly name: string;
    readonly uid?: string;
  }): Promise<Answer | undefined> {
    const patch = { metadata: uid === undefined ? {} : { uid }, status: {} };
    try {
      const reply = await this.#options.ask({
        source: sources.edged,
        group: groups.meta,
        operation: operations.patch,
        resource: formatResource(resourceTypes.podPatch, namespace, name),
        content: JSON.stringify(patch),
        timeoutMs: askMs,
      });
      return this.#ofThisNode(readAnswer(reply));
    } catch (error) {
      if (error instanceof UnavailableError) return undefined;
      throw error;
    }
  }

  /** KubeEdge's cloudcore also gives pods that are bound to other nodes: such an answer says nothing of this node. */
  #ofThisNode(answer: Answer | undefined): Answer | undefined {
    const { spec } = (answer?.object ?? {}) as Pick<Pod, "spec">;
    return spec?.nodeName === undefined || spec.nodeName === this.#options.node ? answer : undefined;
  }

  /** A pod that is newer than its row, or has none, is stored and told as one that the cloud sent. */
  async #keep(object: KubeObject): Promise<void> {
    const { store, downstream, stamp } = this.#options;
    const { namespace, name, resourceVersion } = object.metadata;
    const resource = formatResource(resourceTypes.pod, namespace, name);
    if (readStored(store, resource)?.metadata.resourceVersion === resourceVersion) return;
    const route = { source: sources.edgeController, group: groups.resource, operation: operations.update };
    await downstream.deliver(newMessage(stamp, { ...route, resource, content: object }));
  }
}

interface Answer {
  readonly object?: KubeObject;
  readonly failure?: Status;
}

/** `{"Object": …, "Err": null | {"ErrStatus": Status}}` */
function readAnswer({ route, content }: WireMessage): Answer | undefined {
  if (route.operation === operations.error || typeof content !== "object" || content === null)
    return undefined;
  const { Object: object, Err: failure } = content as {
    readonly Object?: KubeObject | null;
    readonly Err?: { readonly ErrStatus?: Status } | null;
  };
  if (failure) return failure.ErrStatus ? { failure: failure.ErrStatus } : undefined;
  return object?.metadata?.uid ? { object } : undefined;
}

/** The API's own words: a proxy's "404 page not found" says nothing of pods. */
function isGone(name: string, failure: Status | undefined): boolean {
  const message = failure?.message ?? "";
  if (failure?.reason === "NotFound") return message === `pods "${name}" not found`;
  return failure?.reason === "Conflict" && message.includes("UID in precondition");
}
