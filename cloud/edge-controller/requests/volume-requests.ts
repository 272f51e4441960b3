import { reference, type Placement, type Reference } from "#cloud/edge-controller/placement";
import { resources, type KubeClient, type ResourceType } from "#cloud/kube-client";
import { asText, recordOf } from "#shared/json";
import type { KubeObject } from "#shared/kube";
import type { NodeAnswer, NodeRequest } from "#shared/topics";
import { objectAnswer, nodeForbidden } from "./answers.ts";
import type { NodeRequestHandlers } from "./queues.ts";

const attachments: ResourceType = {
  group: "storage.k8s.io",
  version: "v1",
  plural: "volumeattachments",
  kind: "VolumeAttachment",
  namespaced: false,
};

export interface VolumeRequestsOptions {
  readonly kube: KubeClient;
  readonly placement: Placement;
  readonly read: (name: Reference) => Promise<KubeObject | undefined>;
}

/** Requests of a node for the claims its pods use, the volumes behind them and its own attachments. */
export class VolumeRequests {
  readonly #kube: KubeClient;
  readonly #placement: Placement;
  readonly #read: VolumeRequestsOptions["read"];

  constructor({ kube, placement, read }: VolumeRequestsOptions) {
    this.#kube = kube;
    this.#placement = placement;
    this.#read = read;
  }

  handlers(): NodeRequestHandlers {
    return [
      ["PersistentVolumeClaim query", (request) => this.#claim(request)],
      ["PersistentVolume query", (request) => this.#volume(request)],
      ["VolumeAttachment query", (request) => this.#attachment(request)],
    ];
  }

  async #claim({ node, namespace, name }: NodeRequest): Promise<NodeAnswer> {
    if (!this.#placement.claims(node, namespace, name))
      throw nodeForbidden("persistentvolumeclaims", name, `no pod of node "${node}" uses it`);
    const bound = await this.#read(reference("persistentvolumeclaim", namespace, name));
    return objectAnswer(
      bound ?? (await this.#kube.get(resources.persistentVolumeClaims, { namespace, name })),
    );
  }

  async #volume({ node, name }: NodeRequest): Promise<NodeAnswer> {
    const volume = await this.#kube.get(resources.persistentVolumes, { name });
    const claim = recordOf(fieldOf(volume, "claimRef"));
    if (!this.#placement.claims(node, asText(claim["namespace"]), asText(claim["name"])))
      throw nodeForbidden("persistentvolumes", name, `no pod of node "${node}" uses its claim`);
    return objectAnswer(volume);
  }

  async #attachment({ node, name }: NodeRequest): Promise<NodeAnswer> {
    const attachment = await this.#kube.get(attachments, { name });
    if (fieldOf(attachment, "nodeName") !== node)
      throw nodeForbidden("volumeattachments.storage.k8s.io", name, `it is not of node "${node}"`);
    return objectAnswer(attachment);
  }
}

function fieldOf({ spec }: KubeObject, field: string): unknown {
  return recordOf(spec)[field];
}
