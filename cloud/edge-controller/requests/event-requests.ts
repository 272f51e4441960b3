import {
  jsonBytesOf,
  isReportedAlready,
  isSameEvent,
  largest,
  readNodeEvent,
  type EventSubject,
  type WriteGate,
} from "#cloud/edge-controller/node-authorization";
import type { Placement } from "#cloud/edge-controller/placement";
import { isKubeError, resources, type KubeClient } from "#cloud/kube-client";
import { asRecord } from "#shared/json";
import type { KubeObject } from "#shared/kube";
import type { NodeAnswer, NodeRequest } from "#shared/topics";
import { nodeBadRequest, done, nodeForbidden } from "./answers.ts";
import { readSentObject } from "./content.ts";
import type { NodeRequestHandler, NodeRequestHandlers } from "./queues.ts";

export interface EventRequestsOptions {
  readonly kube: KubeClient;
  readonly placement: Pick<Placement, "knows">;
  readonly gate: WriteGate;
  /** Whether a Device is of the node, or a DeviceModel of one of its Devices. */
  readonly ownsDevice: (node: string, about: EventSubject) => Promise<boolean>;
}

/** Events a node records about itself, its pods and its devices. */
export class EventRequests {
  readonly #options: EventRequestsOptions;

  constructor(options: EventRequestsOptions) {
    this.#options = options;
  }

  /** A node need not know whether an Event is new or has happened again: any verb records it. */
  handlers(): NodeRequestHandlers {
    const record: NodeRequestHandler = (request) => this.#record(request);
    return [
      ["Event insert", record],
      ["Event update", record],
      ["Event patch", record],
    ];
  }

  async #record({ node, namespace, name, content }: NodeRequest): Promise<NodeAnswer> {
    if (name === "") throw nodeBadRequest("an event has to have a name");
    const { gate } = this.#options;
    gate.open(node, "events");
    const inner = asRecord(asRecord(content)?.["Event"]) ?? content;
    const read = readNodeEvent(node, { namespace, name }, readSentObject(inner));
    if (!read.ok) throw nodeForbidden("events", name, read.fault);
    const { event, about } = read;
    gate.fits(node, "an Event", { bytes: jsonBytesOf(event), limit: largest.event });
    if (!(await this.#concerns(node, about)))
      throw nodeForbidden(
        "events",
        name,
        `${about.kind} "${namespace}/${about.name}" is not of node "${node}"`,
      );
    const written = await this.#write(event);
    if (written) gate.spend(node, "events", written);
    return done;
  }

  async #concerns(node: string, about: EventSubject): Promise<boolean> {
    const { placement, ownsDevice } = this.#options;
    if (about.kind === "Node") return about.name === node;
    return about.kind === "Pod" ? placement.knows(node, about) : ownsDevice(node, about);
  }

  /** An Event that is stored already has happened again. @returns what was stored, undefined when another source stored it */
  async #write(event: KubeObject): Promise<KubeObject | undefined> {
    const { kube } = this.#options;
    try {
      return await kube.create<KubeObject>(resources.events, event);
    } catch (error) {
      if (!isKubeError(error, 409)) throw error;
    }
    const { namespace = "default", name = "" } = event.metadata;
    const stored = await kube.get<KubeObject>(resources.events, { namespace, name });
    if (!isSameEvent(stored, event)) {
      if (isReportedAlready(stored, event)) return undefined;
      throw nodeForbidden("events", name, "it was recorded by another source");
    }
    const { count, lastTimestamp, message, series } = event;
    const patch = { count, lastTimestamp, message, ...(series ? { series } : {}) };
    return kube.patch<KubeObject>(resources.events, { namespace, name }, patch, { type: "merge" });
  }
}
