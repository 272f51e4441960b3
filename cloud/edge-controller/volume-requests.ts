import type { KubeClient, ResourceType } from "#cloud/kube-client";
import type { KubeObject } from "#shared/kube";
import { noNamespace } from "#shared/wire";
import { isRecord } from "#shared/json";
import { answerObject, forbidden, type Answer } from "./answers.ts";
import type { Placement } from "./placement.ts";
import type { Handler, Question } from "./upstream.ts";

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

  handlers(): [string, Handler][] {
    return [
      ["persistentvolumeclaim query", { form: "raw", answer: (question) => this.#claim(question) }],
      ["persistentvolume query", { form: "raw", answer: (question) => this.#volume(question) }],
      ["volumeattachment query", { form: "raw", answer: (question) => this.#attachment(question) }],
    ];
  }

  async #claim({ node, at: { namespace, name } }: Question): Promise<Answer> {
    if (!this.#placement.claims(node, namespace, name))
      throw forbidden("persistentvolumeclaims", name, `no pod of node "${node}" uses it`);
    return answerObject("raw", await this.#kube.get(claims, { namespace, name }));
  }

  async #volume({ node, at: { name } }: Question): Promise<Answer> {
    const volume = await this.#kube.get(volumes, { name });
    const { namespace = noNamespace, name: claim = "" } = textsOf(fieldOf(volume, "claimRef"));
    if (!this.#placement.claims(node, namespace, claim))
      throw forbidden("persistentvolumes", name, `no pod of node "${node}" uses its claim`);
    return answerObject("raw", volume);
  }

  async #attachment({ node, at: { name } }: Question): Promise<Answer> {
    const attachment = await this.#kube.get(attachments, { name });
    if (fieldOf(attachment, "nodeName") !== node)
      throw forbidden("volumeattachments.storage.k8s.io", name, `it is not of node "${node}"`);
    return answerObject("raw", attachment);
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
