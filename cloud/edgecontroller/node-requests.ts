import { resources, type KubeClient } from "#cloud/kubeclient";
import { edgeNodeLabel, type KubeObject, type Lease, type Node } from "#shared/kube";
import { leaseNamespace } from "#shared/message";
import { answerObject, badRequest, done, forbidden, isKubeError, type Answer } from "./answers.ts";
import { isRecord, readObject, readPatch } from "./content.ts";
import type { Handler, Question } from "./upstream.ts";

const leaseTries = 4;

/** Requests of a node about its own Node and Lease. */
export class NodeRequests {
  readonly #kube: KubeClient;

  constructor(kube: KubeClient) {
    this.#kube = kube;
  }

  handlers(): [string, Handler][] {
    const resp = "object-resp";
    return [
      ["node insert", { form: resp, answer: (question) => this.#register(question) }],
      ["node query", { form: "raw", answer: (question) => this.#read(question) }],
      ["node update", { form: "ok", answer: (question) => this.#label(question) }],
      ["nodepatch patch", { form: resp, answer: (question) => this.#patchStatus(question) }],
      ["nodestatus insert", { form: "ok", answer: (question) => this.#registerOnce(question) }],
      ["nodestatus update", { form: "ok", answer: (question) => this.#replaceStatus(question) }],
      ["lease insert", { form: resp, answer: (question) => this.#createLease(question) }],
      ["lease update", { form: resp, answer: (question) => this.#renewLease(question) }],
      ["lease query", { form: resp, answer: (question) => this.#readLease(question) }],
    ];
  }

  async #register(question: Question): Promise<Answer> {
    const name = own(question);
    const { metadata, spec, status } = readObject(question.content);
    const labels = { ...allowedLabels(metadata.labels), [edgeNodeLabel]: "" };
    const { annotations } = metadata;
    const created = await this.#kube.create<Node>(resources.nodes, {
      apiVersion: "v1",
      kind: "Node",
      metadata: { name, labels, ...(annotations ? { annotations } : {}) },
      ...(isRecord(spec) ? { spec } : {}),
      ...(isRecord(status) ? { status } : {}),
    });
    return answerObject("object-resp", created);
  }

  async #registerOnce(question: Question): Promise<Answer> {
    try {
      await this.#register(question);
    } catch (error) {
      if (!isKubeError(error, 409)) throw error;
    }
    return done;
  }

  async #read(question: Question): Promise<Answer> {
    return answerObject("raw", await this.#kube.get(resources.nodes, { name: own(question) }));
  }

  async #label(question: Question): Promise<Answer> {
    const name = own(question);
    const { labels, annotations = {} } = readObject(question.content).metadata;
    const patch = { metadata: { labels: allowedLabels(labels), annotations } };
    await this.#kube.patch(resources.nodes, { name }, patch, { type: "merge" });
    return done;
  }

  async #patchStatus(question: Question): Promise<Answer> {
    const name = own(question);
    const { status } = readPatch(question.content);
    const options = { type: "strategic", subresource: "status" } as const;
    return answerObject(
      "object-resp",
      await this.#kube.patch(resources.nodes, { name }, { status }, options),
    );
  }

  /** The way of nodes before KubeEdge 1.12. */
  async #replaceStatus(question: Question): Promise<Answer> {
    const name = own(question);
    const status = isRecord(question.content) ? question.content["Status"] : undefined;
    if (!isRecord(status)) throw badRequest("a node status was expected");
    const { volumesAttached: _volumes, ...rest } = status;
    const options = { type: "strategic", subresource: "status" } as const;
    await this.#kube.patch(resources.nodes, { name }, { status: rest }, options);
    return done;
  }

  async #createLease(question: Question): Promise<Answer> {
    const lease = ownLease(question);
    const { resourceVersion: _version, uid: _uid, ...metadata } = lease.metadata;
    return answerLease(await this.#kube.create<KubeObject>(resources.leases, { ...lease, metadata }));
  }

  async #readLease(question: Question): Promise<Answer> {
    const at = { namespace: leaseNamespace, name: ownLeaseName(question) };
    return answerLease(await this.#kube.get(resources.leases, at));
  }

  /** A node knows best when it last lived: a version that is too old does not keep its lease from being renewed. */
  async #renewLease(question: Question): Promise<Answer> {
    const lease = ownLease(question);
    const at = { namespace: leaseNamespace, name: lease.metadata.name ?? "" };
    let wanted = lease;
    for (let attempt = 1; ; attempt += 1) {
      try {
        return answerLease(await this.#kube.replace<KubeObject>(resources.leases, wanted));
      } catch (error) {
        if (!isKubeError(error, 409) || attempt === leaseTries) throw error;
      }
      const fresh = await this.#kube.get<Lease>(resources.leases, at);
      wanted = { ...fresh, spec: lease["spec"] };
    }
  }
}

/** As KubeEdge: messages about leases carry no version. */
function answerLease(lease: KubeObject): Answer {
  return { content: answerObject("object-resp", lease).content };
}

/** The name of the node asked about, which must be the one that asks. */
function own({ node, at }: Question): string {
  if (at.name !== node) throw forbidden("nodes", at.name, `node "${node}" may only use its own`);
  return node;
}

function ownLeaseName(question: Question): string {
  const { node, at } = question;
  if (at.name !== node || at.namespace !== leaseNamespace)
    throw forbidden("leases.coordination.k8s.io", at.name, `node "${node}" may only use its own`);
  return node;
}

function ownLease(question: Question): KubeObject {
  const name = ownLeaseName(question);
  const lease = readObject(question.content);
  return {
    ...lease,
    apiVersion: "coordination.k8s.io/v1",
    kind: "Lease",
    metadata: { ...lease.metadata, name, namespace: leaseNamespace },
  };
}

/** Labels that decide where workloads may run apart from nodes' own word. */
function allowedLabels(labels: Record<string, string> = {}): Record<string, string> {
  const isAllowed = ([key]: [string, string]): boolean =>
    !/(^|\.)node-restriction\.kubernetes\.io\//.test(key);
  return Object.fromEntries(Object.entries(labels).filter(isAllowed));
}
