import {
  jsonBytesOf,
  judgeLabels,
  largest,
  leaseOf,
  specToRegister,
  type NodeWarnings,
  type WriteGate,
} from "#cloud/edge-controller/node-authorization";
import {
  isKubeError,
  resources,
  type Informer,
  type KubeClient,
  type PatchOptions,
} from "#cloud/kube-client";
import { asRecord, isRecord, recordOf } from "#shared/json";
import { edgeNodeLabel, type KubeObject, type Lease, type Node, nodeLeaseNamespace } from "#shared/kube";
import type { NodeAnswer, NodeRequest } from "#shared/topics";
import { objectAnswer, nodeBadRequest, done, nodeForbidden } from "./answers.ts";
import { readSentObject, readPatch } from "./content.ts";
import type { NodeRequestHandlers } from "./queues.ts";
import { reportedAt, type KubeletAddress } from "./reported-address.ts";

/** A lease is its node's alone: more than one conflict in a row is rare. */
const leaseTries = 4;

export interface NodeRequestsOptions {
  readonly kube: KubeClient;
  readonly nodes: Pick<Informer<Node>, "get">;
  readonly gate: WriteGate;
  readonly warnings: Pick<NodeWarnings, "warn">;
  /** Where nodes are reported to be reached; undefined: where they say. */
  readonly kubelet?: KubeletAddress | undefined;
}

/** Requests of a node about its own Node and Lease. */
export class NodeRequests {
  readonly #options: NodeRequestsOptions;
  readonly #kube: KubeClient;

  constructor(options: NodeRequestsOptions) {
    this.#options = options;
    this.#kube = options.kube;
  }

  handlers(): NodeRequestHandlers {
    return [
      ["Node insert", (request) => this.#register(request)],
      ["Node query", (request) => this.#read(request)],
      ["Node update", (request) => this.#label(request)],
      ["Node/status patch", (request) => this.#patchStatus(request)],
      ["Node/status insert", (request) => this.#registerOnce(request)],
      ["Node/status update", (request) => this.#replaceStatus(request)],
      ["Lease insert", (request) => this.#createLease(request)],
      ["Lease update", (request) => this.#renewLease(request)],
      ["Lease query", (request) => this.#readLease(request)],
    ];
  }

  async #register(request: NodeRequest): Promise<NodeAnswer> {
    const name = ownNodeName(request);
    const { gate } = this.#options;
    gate.open(name, "statuses");
    const { metadata, spec, status } = readSentObject(request.content);
    const labels = { ...this.#labels(name, metadata.labels), [edgeNodeLabel]: "" };
    const { annotations } = metadata;
    const node: Node = {
      apiVersion: "v1",
      kind: "Node",
      metadata: { name, labels, ...(annotations ? { annotations } : {}) },
      ...specToRegister(spec),
      ...(isRecord(status) ? { status: reportedAt(status, this.#options.kubelet) } : {}),
    };
    gate.fits(name, "a Node", { bytes: jsonBytesOf(node), limit: largest.nodeReport });
    const created = await this.#kube.create<Node>(resources.nodes, node);
    gate.spend(name, "statuses", created);
    return objectAnswer(created);
  }

  async #registerOnce(request: NodeRequest): Promise<NodeAnswer> {
    try {
      await this.#register(request);
    } catch (error) {
      if (!isKubeError(error, 409)) throw error;
    }
    return done;
  }

  async #read(request: NodeRequest): Promise<NodeAnswer> {
    return objectAnswer(await this.#kube.get(resources.nodes, { name: ownNodeName(request) }));
  }

  /** Labels that do not change are not judged: a node sends back what others have set. */
  async #label(request: NodeRequest): Promise<NodeAnswer> {
    const name = ownNodeName(request);
    const { labels, annotations = {} } = readSentObject(request.content).metadata;
    const current = await this.#kube.get<Node>(resources.nodes, { name });
    const allowed = this.#labels(name, labels, current.metadata.labels);
    const patch = { metadata: { labels: allowed, annotations } };
    await this.#patch(name, patch, { type: "merge" });
    return done;
  }

  #labels(node: string, asked: unknown, current?: Record<string, string>): Readonly<Record<string, string>> {
    const { allowed, refused } = judgeLabels(recordOf(asked), current);
    if (refused.length > 0) {
      const list = refused.join(", ").slice(0, 800);
      const message = `node "${node}" is not allowed to set the following labels: ${list}`;
      this.#options.warnings.warn(node, { topic: "labels", reason: "LabelsNotAllowed", message });
    }
    return allowed;
  }

  async #patchStatus(request: NodeRequest): Promise<NodeAnswer> {
    const name = ownNodeName(request);
    const { status } = readPatch(request.content);
    const options = { type: "strategic", subresource: "status" } as const;
    return objectAnswer(
      await this.#patch(name, { status: reportedAt(status, this.#options.kubelet) }, options),
    );
  }

  /** As nodes before KubeEdge 1.12 report. */
  async #replaceStatus(request: NodeRequest): Promise<NodeAnswer> {
    const name = ownNodeName(request);
    const status = asRecord(recordOf(request.content)["Status"]);
    if (!status) throw nodeBadRequest("a node status was expected");
    const { volumesAttached: _volumes, ...rest } = status;
    await this.#patch(
      name,
      { status: reportedAt(rest, this.#options.kubelet) },
      { type: "strategic", subresource: "status" },
    );
    return done;
  }

  /** A patch adds to what is there: both together are the most that may come of it. */
  async #patch(name: string, patch: object, options: PatchOptions): Promise<Node> {
    const { gate, nodes } = this.#options;
    gate.open(name, "statuses");
    const bytes = jsonBytesOf(patch);
    gate.fits(name, "a Node update", { bytes, limit: largest.nodeReport });
    const before = nodes.get(name);
    const after = bytes + jsonBytesOf(before ?? {});
    gate.fits(name, "a Node with its update", { bytes: after, limit: largest.node });
    const written = await this.#kube.patch<Node>(resources.nodes, { name }, patch, options);
    if (written.metadata.resourceVersion !== before?.metadata.resourceVersion)
      gate.spend(name, "statuses", written);
    return written;
  }

  async #createLease(request: NodeRequest): Promise<NodeAnswer> {
    const lease = this.#lease(request);
    const { resourceVersion: _version, ...metadata } = lease.metadata;
    const made = await this.#kube.create<KubeObject>(resources.leases, { ...lease, metadata });
    this.#options.gate.spend(request.node, "leases", made);
    return objectAnswer(made);
  }

  async #readLease(request: NodeRequest): Promise<NodeAnswer> {
    const lease = { namespace: nodeLeaseNamespace, name: ownLeaseName(request) };
    return objectAnswer(await this.#kube.get(resources.leases, lease));
  }

  /** The node knows best when it last lived: a stale version does not prevent its lease from being renewed. */
  async #renewLease(request: NodeRequest): Promise<NodeAnswer> {
    const lease = this.#lease(request);
    const name = { namespace: nodeLeaseNamespace, name: lease.metadata.name ?? "" };
    let wanted = lease;
    for (let attempt = 1; ; attempt += 1) {
      try {
        const renewed = await this.#kube.replace<KubeObject>(resources.leases, wanted);
        this.#options.gate.spend(request.node, "leases", renewed);
        return objectAnswer(renewed);
      } catch (error) {
        const isOutdated =
          isKubeError(error, 409) ||
          // A node that names no version: the API takes no such update.
          (isKubeError(error, 422) && wanted.metadata.resourceVersion === undefined);
        if (!isOutdated || attempt === leaseTries) throw error;
      }
      const fresh = await this.#kube.get<Lease>(resources.leases, name);
      wanted = { ...fresh, spec: lease["spec"] };
    }
  }

  #lease(request: NodeRequest): KubeObject {
    const name = ownLeaseName(request);
    const { gate } = this.#options;
    gate.open(name, "leases");
    const lease = leaseOf(name, nodeLeaseNamespace, readSentObject(request.content));
    gate.fits(name, "a lease", { bytes: jsonBytesOf(lease), limit: largest.lease });
    return lease;
  }
}

/** The name of the node asked about, which must be the one that asks. */
function ownNodeName({ node, name }: NodeRequest): string {
  if (name !== node) throw nodeForbidden("nodes", name, `node "${node}" may only use its own`);
  return node;
}

function ownLeaseName({ node, namespace, name }: NodeRequest): string {
  if (name !== node || namespace !== nodeLeaseNamespace)
    throw nodeForbidden("leases.coordination.k8s.io", name, `node "${node}" may only use its own`);
  return node;
}
