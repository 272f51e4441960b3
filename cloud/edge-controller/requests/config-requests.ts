import { readTokenRequest, tokenFault } from "#cloud/edge-controller/node-authorization";
import { type Placement, reference, type Reference } from "#cloud/edge-controller/placement";
import { resources, type KubeClient } from "#cloud/kube-client";
import { recordOf } from "#shared/json";
import type { KubeObject, Pod } from "#shared/kube";
import type { NodeAnswer, NodeRequest } from "#shared/topics";
import { objectAnswer, nodeForbidden, nodeNotFound } from "./answers.ts";
import { readSentObject } from "./content.ts";
import type { NodeRequestHandlers } from "./queues.ts";

export interface ConfigRequestsOptions {
  readonly kube: KubeClient;
  readonly placement: Placement;
  readonly read: (name: Reference) => Promise<KubeObject | undefined>;
}

/** Requests of a node for what its pods need: ConfigMaps, Secrets and tokens. */
export class ConfigRequests {
  readonly #options: ConfigRequestsOptions;

  constructor(options: ConfigRequestsOptions) {
    this.#options = options;
  }

  handlers(): NodeRequestHandlers {
    return [
      ["ConfigMap query", (request) => this.#read("configmap", request)],
      ["Secret query", (request) => this.#read("secret", request)],
      ["ServiceAccount/token query", (request) => this.#token(request)],
    ];
  }

  async #read(type: "configmap" | "secret", { node, namespace, name }: NodeRequest): Promise<NodeAnswer> {
    const wanted = reference(type, namespace, name);
    const plural = `${type}s`;
    if (!this.#options.placement.reads(node, wanted))
      throw nodeForbidden(plural, name, `no pod of node "${node}" reads it`);
    const object = await this.#options.read(wanted);
    if (!object) throw nodeNotFound(plural, name);
    return objectAnswer(object);
  }

  /** Bound to a pod of the node, so that it ends with the pod; the API itself checks the uids again as it signs. */
  async #token({ node, namespace, name, content }: NodeRequest): Promise<NodeAnswer> {
    const { kube } = this.#options;
    const { spec } = readSentObject(content);
    const read = readTokenRequest(recordOf(spec));
    if (!read.ok) throw nodeForbidden("serviceaccounts", name, read.fault);
    const { audiences, expirationSeconds, pod } = read.request;
    const live = await kube.find<Pod>(resources.pods, { namespace, name: pod.name });
    const fault = tokenFault({ node, account: name, request: read.request }, live);
    if (fault !== undefined) throw nodeForbidden("serviceaccounts", name, fault);
    const boundObjectRef = { kind: "Pod", apiVersion: "v1", ...pod };
    const body = {
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenRequest",
      metadata: {},
      spec: { audiences, expirationSeconds, boundObjectRef },
    };
    const account = { namespace, name };
    const made = await kube.createSubresource<KubeObject>(resources.serviceAccounts, account, "token", body);
    return { ok: true, object: made };
  }
}
