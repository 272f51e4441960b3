import type { ObjectDeliveries } from "#cloud/edge-controller/deliveries";
import {
  jsonBytesOf,
  largest,
  mirrorPodFault,
  mostMirrorPods,
  type WriteGate,
} from "#cloud/edge-controller/node-authorization";
import type { Placement } from "#cloud/edge-controller/placement";
import { isKubeError, resources, type Informer, type KubeClient } from "#cloud/kube-client";
import { rfc3339, type Clock } from "#shared/clock";
import { asRecord, asText, recordOf } from "#shared/json";
import { isMirrorPod, objectKey, type Pod } from "#shared/kube";
import type { NodeAnswer, NodeRequest } from "#shared/topics";
import { objectAnswer, nodeBadRequest, done, nodeForbidden, nodeNotFound } from "./answers.ts";
import { readSentObject, readPatch } from "./content.ts";
import type { NodeRequestHandlers } from "./queues.ts";

export interface PodRequestsOptions {
  readonly kube: KubeClient;
  readonly pods: Informer<Pod>;
  readonly deliveries: Pick<ObjectDeliveries, "sendGone">;
  readonly placement: Pick<Placement, "mirrorsOf">;
  readonly gate: WriteGate;
  readonly clock: Clock;
}

/** Requests of a node about the pods bound to it. */
export class PodRequests {
  readonly #options: PodRequestsOptions;

  constructor(options: PodRequestsOptions) {
    this.#options = options;
  }

  handlers(): NodeRequestHandlers {
    return [
      ["Pod/status patch", (request) => this.#patchStatus(request)],
      ["Pod/status update", (request) => this.#reportStatus(request)],
      ["Pod insert", (request) => this.#mirror(request)],
      ["Pod delete", (request) => this.#remove(request)],
    ];
  }

  async #patchStatus(request: NodeRequest): Promise<NodeAnswer> {
    const { status, uid } = readPatch(request.content);
    return objectAnswer(await this.#writeStatus(request, uid, status));
  }

  /** As nodes before KubeEdge 1.12 report. */
  async #reportStatus(request: NodeRequest): Promise<NodeAnswer> {
    const content = recordOf(request.content);
    const status = asRecord(content["Status"]);
    if (!status) throw nodeBadRequest("a pod status was expected");
    const uid = asText(content["UID"]) || undefined;
    const pod = await this.#writeStatus(request, uid, status);
    if (pod.metadata.deletionTimestamp && isOver(pod)) await this.#removeNow(pod);
    return done;
  }

  async #writeStatus(
    request: NodeRequest,
    uid: string | undefined,
    status: Record<string, unknown>,
  ): Promise<Pod> {
    const { namespace, name } = request;
    const { gate } = this.#options;
    gate.open(request.node, "statuses");
    try {
      const pod = await this.#own(request, uid);
      this.#checkSize(request.node, status, pod);
      const patch = { metadata: { uid: pod.metadata.uid }, status: this.#ruled(status, pod) };
      const options = { type: "strategic", subresource: "status" } as const;
      const written = await this.#options.kube.patch<Pod>(
        resources.pods,
        { namespace, name },
        patch,
        options,
      );
      if (written.metadata.resourceVersion !== pod.metadata.resourceVersion)
        gate.spend(request.node, "statuses", written);
      return written;
    } catch (error) {
      const isGone =
        isKubeError(error, 404) || (isKubeError(error, 409) && (await this.#isGone(request, uid)));
      if (!isGone) throw error;
      const gone = { apiVersion: "v1", kind: "Pod", namespace, name, uid: uid ?? "" };
      if (uid !== undefined) this.#options.deliveries.sendGone(request.node, gone);
      throw nodeNotFound("pods", name);
    }
  }

  /** A patch adds to what is there: both together are the most that may come of it. */
  #checkSize(node: string, status: Record<string, unknown>, pod: Pod): void {
    const bytes = jsonBytesOf(status);
    this.#options.gate.fits(node, "a pod status update", { bytes, limit: largest.podReport });
    const after = bytes + jsonBytesOf(pod.status ?? {});
    this.#options.gate.fits(node, "a pod status with its update", { bytes: after, limit: largest.podStatus });
  }

  async #isGone({ namespace, name }: NodeRequest, uid: string | undefined): Promise<boolean> {
    const live = await this.#options.kube.find<Pod>(resources.pods, { namespace, name });
    return !live || (uid !== undefined && live.metadata.uid !== uid);
  }

  /** A pod starts once. */
  #ruled(status: Record<string, unknown>, pod: Pod): Record<string, unknown> {
    const { startTime = rfc3339(this.#options.clock.nowMs()), ...rest } = status;
    return { ...rest, startTime: pod.status?.startTime ?? startTime };
  }

  /** The mirror of a static pod. It is always owned by its Node, so that no workload adopts it. */
  async #mirror({ node, namespace, name, content }: NodeRequest): Promise<NodeAnswer> {
    const { metadata, ["spec"]: spec } = readSentObject(content);
    const { labels, annotations = {}, ownerReferences = [] } = metadata;
    const { metadata: owner } = await this.#options.kube.get(resources.nodes, { name: node });
    const pod: Pod = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { namespace, name, annotations, ownerReferences, ...(labels ? { labels } : {}) },
      // What a node sends is no PodSpec yet: mirrorPodFault looks at it, and the API validates it.
      spec: recordOf(spec) as unknown as Pod["spec"],
    };
    const uid = owner.uid ?? "";
    const fault = mirrorPodFault({ name: node, uid }, pod);
    if (fault !== undefined) throw nodeForbidden("pods", name, fault);
    const { gate, placement } = this.#options;
    gate.fits(node, "a mirror pod", { bytes: jsonBytesOf(pod), limit: largest.mirrorPod });
    gate.counts(node, "mirror pods", { count: placement.mirrorsOf(node), limit: mostMirrorPods });
    gate.open(node, "mirror pods");
    const self = { apiVersion: "v1", kind: "Node", name: node, uid, controller: true };
    pod.metadata.ownerReferences = [self];
    const made = await this.#options.kube.create<Pod>(resources.pods, pod);
    gate.spend(node, "mirror pods", made);
    return objectAnswer(made);
  }

  async #remove(request: NodeRequest): Promise<NodeAnswer> {
    const { gate } = this.#options;
    gate.open(request.node, "statuses");
    try {
      const pod = await this.#own(request, uidOf(request.content));
      if (!(await this.#isEnding(pod))) return done;
      await this.#removeNow(pod);
      gate.spend(request.node, "statuses", pod);
    } catch (error) {
      if (!isKubeError(error, 404, 409)) throw error;
    }
    return done;
  }

  /**
   * A node reports the end of a pod whose deletion it has seen. A cloud that was restored from a backup may not have that
   * deletion: then the pod has to run again. Mirror pods belong to the node.
   */
  async #isEnding(pod: Pod): Promise<boolean> {
    const { metadata } = pod;
    if (metadata.deletionTimestamp || isMirrorPod(pod)) return true;
    const { namespace = "default", name = "", uid } = metadata;
    const live = await this.#options.kube.find<Pod>(resources.pods, { namespace, name });
    return live?.metadata.uid === uid && Boolean(live?.metadata.deletionTimestamp);
  }

  async #removeNow({ metadata }: Pod): Promise<void> {
    const { namespace = "default", name = "", uid } = metadata;
    const options = { graceSeconds: 0, ...(uid ? { uid } : {}) };
    await this.#options.kube.remove(resources.pods, { namespace, name }, options);
  }

  /** The live pod when it is the one meant and bound to the node; the local copy may be stale. */
  async #own({ node, namespace, name }: NodeRequest, uid: string | undefined): Promise<Pod> {
    const isMeant = (pod: Pod | undefined): pod is Pod =>
      pod !== undefined && (uid === undefined || pod.metadata.uid === uid);
    const copy = this.#options.pods.get(objectKey({ metadata: { namespace, name } }));
    const pod = isMeant(copy)
      ? copy
      : await this.#options.kube.find<Pod>(resources.pods, { namespace, name });
    if (!isMeant(pod)) throw nodeNotFound("pods", name);
    if (pod.spec.nodeName !== node) throw nodeForbidden("pods", name, `it is not bound to node "${node}"`);
    return pod;
  }
}

/** DeleteOptions, as text or not, or the uid alone as nodes before KubeEdge 1.12 send it. */
function uidOf(content: unknown): string | undefined {
  if (typeof content === "string" && !content.startsWith("{")) return content || undefined;
  const options: unknown = typeof content === "string" ? parseOptions(content) : content;
  return asText(recordOf(recordOf(options)["preconditions"])["uid"]) || undefined;
}

function parseOptions(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw nodeBadRequest("the delete options are not JSON");
  }
}

function isOver({ status }: Pod): boolean {
  const isEnded = status?.phase === "Succeeded" || status?.phase === "Failed";
  return isEnded && !(status.containerStatuses ?? []).some(({ state }) => state?.running !== undefined);
}
