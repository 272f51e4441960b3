import { resources, type Informer, type KubeClient, type PatchOptions } from "#cloud/kube-client";
import {
  bytesOf,
  judgeLabels,
  largest,
  leaseOf,
  specToRegister,
  type NodeWarnings,
  type WriteGate,
} from "#cloud/edge-controller/node-authorization";
import { edgeNodeLabel, type KubeObject, type Lease, type Node } from "#shared/kube";
import { leaseNamespace } from "#shared/wire";
import { isRecord } from "#shared/json";
import { answerObject, badRequest, done, forbidden, isKubeError, type Answer } from "./answers.ts";
import { readObject, readPatch } from "./content.ts";
import type { Handler, Question } from "./upstream.ts";

const leaseTries = 4;

export interface NodeRequestsOptions {
  readonly kube: KubeClient;
  readonly nodes: Pick<Informer<Node>, "get">;
  readonly gate: WriteGate;
  readonly warnings: Pick<NodeWarnings, "warn">;
}

/** Requests of a node about its own Node and Lease. */
export class NodeRequests {
  readonly #options: NodeRequestsOptions;
  readonly #kube: KubeClient;

  constructor(options: NodeRequestsOptions) {
    this.#options = options;
    this.#kube = options.kube;
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
    const { gate } = this.#options;
    gate.open(name, "statuses");
    const { metadata, spec, status } = readObject(question.content);
    const labels = { ...this.#labels(name, metadata.labels), [edgeNodeLabel]: "" };
    const { annotations } = metadata;
    const node: Node = {
      apiVersion: "v1",
      kind: "Node",
      metadata: { name, labels, ...(annotations ? { annotations } : {}) },
      ...specToRegister(spec),
      ...(isRecord(status) ? { status } : {}),
    };
    gate.fits(name, "a Node", { bytes: bytesOf(node), limit: largest.nodeReport });
    const created = await this.#kube.create<Node>(resources.nodes, node);
    gate.spend(name, "statuses", created);
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

  /** Labels that are as they were are no question: a node sends back what others have given it. */
  async #label(question: Question): Promise<Answer> {
    const name = own(question);
    const { labels, annotations = {} } = readObject(question.content).metadata;
    const current = await this.#kube.get<Node>(resources.nodes, { name });
    const allowed = this.#labels(name, labels, current.metadata.labels);
    const patch = { metadata: { labels: allowed, annotations } };
    await this.#patch(name, patch, { type: "merge" });
    return done;
  }

  #labels(node: string, asked: unknown, current?: Record<string, string>): Readonly<Record<string, string>> {
    const { allowed, refused } = judgeLabels(isRecord(asked) ? asked : {}, current);
    if (refused.length > 0) {
      const list = refused.join(", ").slice(0, 800);
      const message = `node "${node}" is not allowed to set the following labels: ${list}`;
      this.#options.warnings.warn(node, { topic: "labels", reason: "LabelsNotAllowed", message });
    }
    return allowed;
  }

  async #patchStatus(question: Question): Promise<Answer> {
    const name = own(question);
    const { status } = readPatch(question.content);
    const options = { type: "strategic", subresource: "status" } as const;
    return answerObject("object-resp", await this.#patch(name, { status }, options));
  }

  /** The way of nodes before KubeEdge 1.12. */
  async #replaceStatus(question: Question): Promise<Answer> {
    const name = own(question);
    const status = isRecord(question.content) ? question.content["Status"] : undefined;
    if (!isRecord(status)) throw badRequest("a node status was expected");
    const { volumesAttached: _volumes, ...rest } = status;
    await this.#patch(name, { status: rest }, { type: "strategic", subresource: "status" });
    return done;
  }

  /** A patch adds to what is there: both together are what may come of it. */
  async #patch(name: string, patch: object, options: PatchOptions): Promise<Node> {
    const { gate, nodes } = this.#options;
    gate.open(name, "statuses");
    const bytes = bytesOf(patch);
    gate.fits(name, "a Node update", { bytes, limit: largest.nodeReport });
    const before = nodes.get(name);
    const after = bytes + bytesOf(before ?? {});
    gate.fits(name, "a Node with its update", { bytes: after, limit: largest.node });
    const written = await this.#kube.patch<Node>(resources.nodes, { name }, patch, options);
    if (written.metadata.resourceVersion !== before?.metadata.resourceVersion)
      gate.spend(name, "statuses", written);
    return written;
  }

  async #createLease(question: Question): Promise<Answer> {
    const lease = this.#lease(question);
    const { resourceVersion: _version, ...metadata } = lease.metadata;
    const made = await this.#kube.create<KubeObject>(resources.leases, { ...lease, metadata });
    this.#options.gate.spend(question.node, "leases", made);
    return answerLease(made);
  }

  async #readLease(question: Question): Promise<Answer> {
    const at = { namespace: leaseNamespace, name: ownLeaseName(question) };
    return answerLease(await this.#kube.get(resources.leases, at));
  }

  /** A node knows best when it last lived: a version that is too old does not keep its lease from being renewed. */
  async #renewLease(question: Question): Promise<Answer> {
    const lease = this.#lease(question);
    const at = { namespace: leaseNamespace, name: lease.metadata.name ?? "" };
    let wanted = lease;
    for (let attempt = 1; ; attempt += 1) {
      try {
        const renewed = await this.#kube.replace<KubeObject>(resources.leases, wanted);
        this.#options.gate.spend(question.node, "leases", renewed);
        return answerLease(renewed);
      } catch (error) {
        if (!isKubeError(error, 409) || attempt === leaseTries) throw error;
      }
      const fresh = await this.#kube.get<Lease>(resources.leases, at);
      wanted = { ...fresh, spec: lease["spec"] };
    }
  }

  #lease(question: Question): KubeObject {
    const name = ownLeaseName(question);
    const { gate } = this.#options;
    gate.open(name, "leases");
    const lease = leaseOf(name, leaseNamespace, readObject(question.content));
    gate.fits(name, "a lease", { bytes: bytesOf(lease), limit: largest.lease });
    return lease;
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
