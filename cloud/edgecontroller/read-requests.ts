import { resources, type KubeClient } from "#cloud/kubeclient";
import { quote } from "#shared/errors";
import { readTokenRequest, tokenFault } from "#cloud/nodeauth";
import type { KubeObject, Pod } from "#shared/kube";
import { answerObject, badRequest, done, forbidden, isKubeError, notFound, type Answer } from "./answers.ts";
import { isRecord, readObject } from "./content.ts";
import type { Placement } from "./placement.ts";
import { reference, type Reference } from "./references.ts";
import type { Handler, Question } from "./upstream.ts";

export interface ReadRequestsOptions {
  readonly kube: KubeClient;
  readonly placement: Placement;
  readonly read: (name: Reference) => Promise<KubeObject | undefined>;
}

/** Requests of a node for what its pods need (ConfigMaps, Secrets, tokens), and the events it records. */
export class ReadRequests {
  readonly #options: ReadRequestsOptions;

  constructor(options: ReadRequestsOptions) {
    this.#options = options;
  }

  handlers(): [string, Handler][] {
    const read: Handler = { form: "raw", answer: (question) => this.#read(question) };
    const record: Handler = { form: "ok", answer: (question) => this.#record(question) };
    return [
      ["configmap query", read],
      ["secret query", read],
      ["serviceaccounttoken query", { form: "raw", answer: (question) => this.#token(question) }],
      ["event insert", record],
      ["event update", record],
      ["event patch", record],
    ];
  }

  async #read({ node, at }: Question): Promise<Answer> {
    const name = reference(at.type, at.namespace, at.name);
    const kind = `${at.type}s`;
    if (!this.#options.placement.reads(node, name))
      throw forbidden(kind, at.name, `no pod of node "${node}" reads it`);
    const object = await this.#options.read(name);
    if (!object) throw notFound(kind, at.name);
    return answerObject("raw", object);
  }

  /** Bound to a pod of the node, so that it dies with the pod; the API itself checks the uids again as it signs. */
  async #token({ node, at, content }: Question): Promise<Answer> {
    const { namespace, name } = at;
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
    return { content: made };
  }

  async #record({ node, at, content }: Question): Promise<Answer> {
    const inner = isRecord(content) && isRecord(content["Event"]) ? content["Event"] : content;
    const event = readObject(inner);
    const { namespace, name } = at;
    const { source } = event;
    const reporter = isRecord(source) ? source : {};
    if (reporter["host"] !== undefined && reporter["host"] !== "" && reporter["host"] !== node)
      throw forbidden("events", name, `it speaks for node ${quote(reporter["host"])}`);
    if (name === "") throw badRequest("an event has to have a name");
    const { resourceVersion: _version, uid: _uid, ...metadata } = event.metadata;
    const wanted = { ...event, apiVersion: "v1", kind: "Event", metadata: { ...metadata, namespace, name } };
    await this.#write(wanted);
    return done;
  }

  /** An event that came before has happened again. */
  async #write(event: KubeObject): Promise<void> {
    const { kube } = this.#options;
    try {
      await kube.create<KubeObject>(resources.events, event);
    } catch (error) {
      if (!isKubeError(error, 409)) throw error;
      const { count, lastTimestamp, message, series } = event;
      const { namespace = "default", name = "" } = event.metadata;
      const patch = { count, lastTimestamp, message, ...(series ? { series } : {}) };
      await kube.patch<KubeObject>(resources.events, { namespace, name }, patch, { type: "merge" });
    }
  }
}
