import type { KubeClient, ResourceType } from "#cloud/kube-client";
import type { KubeObject } from "#shared/kube";
import { isRecord } from "#shared/json";
import { answerObject, forbidden } from "./answers.ts";
import type { NodeAnswer, NodeRequest } from "#shared/topics";
import type { Placement } from "#cloud/edge-controller/placement";
import type { RequestHandlers } from "./queues.ts";

const core = { group: "", version: "v1" } as const;
const claims: ResourceType = {
  ...core,
  plural: "persistentvolumeclaims",
  kind: "PersistentVolumeClaim",
  namespaced: true,
};
const volumes: ResourceType = {
  ...core,
  plural: "persistentvolumes",
  kind: "PersistentVolume",
  namespaced: false,
};
const attachments: ResourceType = {
  group: "storage.k8s.io",
  version: "v1",
  plural: "volumeattachments",
  kind: "VolumeAttachment",
  namespaced: false,
};

/** Requests of a node for the claims its pods use, the volumes behind them and its own attachments. */
export class VolumeRequests {
  readonly #kube: KubeClient;
  readonly #placement: Placement;

  constructor(kube: KubeClient, placement: Placement) {
    this.#kube = kube;
    this.#placement = placement;
  }

  handlers(): RequestHandlers {
    return [
      ["PersistentVolumeClaim query", (request) => this.#claim(request)],
      ["PersistentVolume query", (request) => this.#volume(request)],
      ["VolumeAttachment query", (request) => this.#attachment(request)],
    ];
  }

  async #claim({ node, namespace, name }: NodeRequest): Promise<NodeAnswer> {
    if (!this.#placement.claims(node, namespace, name))
      throw forbidden("persistentvolumeclaims", name, `no pod of node "${node}" uses it`);
    return answerObject(await this.#kube.get(claims, { namespace, name }));
  }

  async #volume({ node, name }: NodeRequest): Promise<NodeAnswer> {
    const volume = await this.#kube.get(volumes, { name });
    const { namespace = "", name: claim = "" } = textsOf(fieldOf(volume, "claimRef"));
    if (!this.#placement.claims(node, namespace, claim))
      throw forbidden("persistentvolumes", name, `no pod of node "${node}" uses its claim`);
    return answerObject(volume);
  }

  async #attachment({ node, name }: NodeRequest): Promise<NodeAnswer> {
    const attachment = await this.#kube.get(attachments, { name });
    if (fieldOf(attachment, "nodeName") !== node)
      throw forbidden("volumeattachments.storage.k8s.io", name, `it is not of node "${node}"`);
    return answerObject(attachment);
  }
}

function fieldOf(object: KubeObject, field: string): unknown {
  const { spec } = object;
  return isRecord(spec) ? spec[field] : undefined;
}

function textsOf(value: unknown): { namespace?: string; name?: string } {
  if (!isRecord(value)) return {};
  const { namespace, name } = value;
  return {
    ...(typeof namespace === "string" ? { namespace } : {}),
    ...(typeof name === "string" ? { name } : {}),
  };
}
