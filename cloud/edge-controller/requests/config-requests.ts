import { resources, type KubeClient } from "#cloud/kube-client";
import {
  bytesOf,
  isSameEvent,
  isToldAlready,
  largest,
  readNodeEvent,
  readTokenRequest,
  tokenFault,
  type EventSubject,
  type WriteGate,
} from "#cloud/edge-controller/node-authorization";
import type { KubeObject, Pod } from "#shared/kube";
import { isRecord } from "#shared/json";
import { answerObject, badRequest, done, forbidden, isKubeError, notFound } from "./answers.ts";
import { readObject } from "./content.ts";
import type { NodeAnswer, NodeRequest } from "#shared/topics";
import { type Placement, reference, type Reference } from "#cloud/edge-controller/placement";
import type { RequestHandler, RequestHandlers } from "./queues.ts";

export interface ConfigRequestsOptions {
  readonly kube: KubeClient;
  readonly placement: Placement;
  readonly read: (name: Reference) => Promise<KubeObject | undefined>;
  readonly gate: WriteGate;
  /** Whether a Device is of the node, or a DeviceModel of one of its Devices. */
  readonly ownsDevice: (node: string, about: EventSubject) => Promise<boolean>;
}

/** Requests of a node for what its pods need (ConfigMaps, Secrets, tokens), and the events it records. */
export class ConfigRequests {
  readonly #options: ConfigRequestsOptions;

  constructor(options: ConfigRequestsOptions) {
    this.#options = options;
  }

  handlers(): RequestHandlers {
    const record: RequestHandler = (request) => this.#record(request);
    return [
      ["ConfigMap query", (request) => this.#read("configmap", request)],
      ["Secret query", (request) => this.#read("secret", request)],
      ["ServiceAccount/token query", (request) => this.#token(request)],
      ["Event insert", record],
      ["Event update", record],
      ["Event patch", record],
    ];
  }

  async #read(type: "configmap" | "secret", { node, namespace, name }: NodeRequest): Promise<NodeAnswer> {
    const wanted = reference(type, namespace, name);
    const plural = `${type}s`;
    if (!this.#options.placement.reads(node, wanted))
      throw forbidden(plural, name, `no pod of node "${node}" reads it`);
    const object = await this.#options.read(wanted);
    if (!object) throw notFound(plural, name);
    return answerObject(object);
  }

  /** Bound to a pod of the node, so that it dies with the pod; the API itself checks the uids again as it signs. */
  async #token({ node, namespace, name, content }: NodeRequest): Promise<NodeAnswer> {
    const { kube } = this.#options;
    const { spec } = readObject(content);
    const read = readTokenRequest(isRecord(spec) ? spec : {});
    if (!read.ok) throw forbidden("serviceaccounts", name, read.fault);
    const { audiences, expirationSeconds, pod } = read.request;
    const live = await kube.find<Pod>(resources.pods, { namespace, name: pod.name });
    const fault = tokenFault({ node, account: name, request: read.request }, live);
    if (fault !== undefined) throw forbidden("serviceaccounts", name, fault);
    const boundObjectRef = { kind: "Pod", apiVersion: "v1", ...pod };
    const body = {
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenRequest",
      metadata: {},
      spec: { audiences, expirationSeconds, boundObjectRef },
    };
    const type = resources.serviceAccounts;
    const made = await kube.createSubresource<KubeObject>(type, { namespace, name }, "token", body);
    return { ok: true, object: made };
  }

  async #record({ node, namespace, name, content }: NodeRequest): Promise<NodeAnswer> {
    if (name === "") throw badRequest("an event has to have a name");
    const { gate } = this.#options;
    gate.open(node, "events");
    const inner = isRecord(content) && isRecord(content["Event"]) ? content["Event"] : content;
    const read = readNodeEvent(node, { namespace, name }, readObject(inner));
    if (!read.ok) throw forbidden("events", name, read.fault);
    const { event, about } = read;
    gate.fits(node, "an Event", { bytes: bytesOf(event), limit: largest.event });
    if (!(await this.#concerns(node, about)))
      throw forbidden("events", name, `${about.kind} "${namespace}/${about.name}" is not of node "${node}"`);
    const written = await this.#write(event);
    if (written) gate.spend(node, "events", written);
    return done;
  }

  async #concerns(node: string, about: EventSubject): Promise<boolean> {
    const { placement, ownsDevice } = this.#options;
    if (about.kind === "Node") return about.name === node;
    return about.kind === "Pod" ? placement.knows(node, about) : ownsDevice(node, about);
  }

  /** An event that came before has happened again. @returns what was stored, undefined when another has told it already */
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
      if (isToldAlready(stored, event)) return undefined;
      throw forbidden("events", name, "it was recorded by another source");
    }
    const { count, lastTimestamp, message, series } = event;
    const patch = { count, lastTimestamp, message, ...(series ? { series } : {}) };
    return kube.patch<KubeObject>(resources.events, { namespace, name }, patch, { type: "merge" });
  }
}
