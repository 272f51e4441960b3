import type { Placement, Reference } from "#cloud/edge-controller/placement";
import type { Informer } from "#cloud/kube-client";
import type { Port } from "#shared/bus";
import { describeError } from "#shared/errors";
import { asText } from "#shared/json";
import {
  contentDigest,
  edgeNodeLabel,
  runtimeHandlerField,
  withoutManagedFields,
  type KubeObject,
  type Node,
  type Pod,
} from "#shared/kube";
import { KeyedQueue } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import { withServiceLinks } from "#shared/service-links";
import type { CloudCatalog, DeliveredObject, ObjectDelivery } from "#shared/topics";
import { goneOf, isSameForEdge } from "./edge-object.ts";

/** What deliveries ask on the bus. */
export type DeliveryPort = Pick<
  Port<CloudCatalog, never, "object.deliver" | "object.delivered", never, never>,
  "ask"
>;

export interface ObjectDeliveriesOptions {
  readonly port: DeliveryPort;
  readonly placement: Placement;
  readonly nodes: Informer<Node>;
  /** The ConfigMap, Secret or bound claim, undefined when there is none. */
  readonly read: (name: Reference) => Promise<KubeObject | undefined>;
  readonly servicesOf: (namespace: string) => readonly KubeObject[];
  /** Of a RuntimeClass: empty when there is none; undefined when it cannot be read. */
  readonly handlerOf: (runtimeClass: string) => Promise<string | undefined>;
  /** Volumes whose directories a node has to remove. */
  readonly releasedOn: (node: string) => readonly KubeObject[];
  readonly log: Logger;
}

type Operation = ObjectDelivery["operation"];

/**
 * Brings pods, and the ConfigMaps and Secrets they read, to the nodes they are bound to. Each change is sent at once and
 * in order; what a node missed while it was offline is found by comparing what it acknowledged with what it should have.
 */
export class ObjectDeliveries implements AsyncDisposable {
  readonly #options: ObjectDeliveriesOptions;
  /** what is to be sent, by node */
  readonly #queues: KeyedQueue<string>;

  constructor(options: ObjectDeliveriesOptions) {
    this.#options = options;
    // What could not be sent is found by the next comparison.
    this.#queues = new KeyedQueue((node, error) =>
      options.log.warn("cannot send to a node", { node, error: describeError(error) }),
    );
  }

  /** `isKnown`: it was there before, what the node lacks of it is found when the node connects. */
  podAdded(pod: Pod, isKnown = false): void {
    const node = pod.spec.nodeName;
    if (!node) return;
    const { gained } = this.#options.placement.set(pod);
    if (isKnown || !this.isEdge(node)) return;
    const operation = pod.metadata.deletionTimestamp ? "update" : "insert";
    this.#queues.run(node, () => this.#sendPod(node, operation, { pod, gained }));
  }

  podUpdated(pod: Pod, old: Pod): void {
    const node = pod.spec.nodeName;
    if (pod.metadata.uid !== old.metadata.uid || node !== old.spec.nodeName) {
      this.podRemoved(old);
      return this.podAdded(pod);
    }
    if (!node) return;
    const { gained, lost } = this.#options.placement.set(pod);
    if (!this.isEdge(node) || isSameForEdge(pod, old)) return;
    this.#queues.run(node, async () => {
      await this.#sendPod(node, "update", { pod, gained });
      await this.#giveUp(node, lost);
    });
  }

  podRemoved(pod: Pod): void {
    const node = pod.spec.nodeName;
    if (!node) return;
    const lost = this.#options.placement.remove(pod);
    if (!this.isEdge(node)) return;
    this.#queues.run(node, async () => {
      await this.#send(node, "delete", pod);
      await this.#giveUp(node, lost);
    });
  }

  /** A ConfigMap or Secret was created, changed or deleted: the nodes that read it get it. */
  configChanged(name: Reference, operation: Operation, object: KubeObject): void {
    for (const node of this.#options.placement.readersOf(name))
      if (this.isEdge(node)) this.#queues.run(node, () => this.#send(node, operation, object));
  }

  /** The node has to remove the directory of a volume. */
  released(node: string, volume: KubeObject): void {
    if (this.isEdge(node)) this.#queues.run(node, () => this.#send(node, "insert", volume));
  }

  /** The volume is deleted, whether its directory was removed or not. */
  unreleased(node: string, volume: KubeObject): void {
    if (this.isEdge(node)) this.#queues.run(node, () => this.#send(node, "delete", volume));
  }

  /** A pod of a node that does not exist any more. */
  sendGone(node: string, gone: Omit<DeliveredObject, "resourceVersion">): void {
    this.#queues.run(node, () => this.#send(node, "delete", goneOf(gone)));
  }

  /** Brings everything to the node that it needs and lacks, and takes what it should not have. */
  resync(node: string): void {
    if (this.isEdge(node)) this.#queues.run(node, () => this.#compare(node));
  }

  isEdge(node: string): boolean {
    return this.#options.nodes.get(node)?.metadata.labels?.[edgeNodeLabel] !== undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#queues[Symbol.asyncDispose]();
  }

  async #compare(node: string): Promise<void> {
    const { port, placement, releasedOn } = this.#options;
    const delivered = (await port.ask("object.delivered", { node })).filter(isOurs);
    const known = new Map(delivered.map((object) => [object.uid, object]));
    const configs = await Promise.all([...placement.referencesOf(node)].map((name) => this.#read(name)));
    const wanted = [
      ...configs.filter((found) => found !== undefined),
      ...placement.podsOf(node),
      ...releasedOn(node),
    ];
    const uids = new Set(wanted.map(({ metadata }) => metadata.uid));
    for (const gone of delivered.filter(({ uid }) => !uids.has(uid)).toSorted(podsFirst))
      await this.#send(node, "delete", goneOf(gone));
    for (const object of wanted) {
      const record = known.get(object.metadata.uid ?? "");
      if (!isCurrent(record, object)) await this.#send(node, record ? "update" : "insert", object);
    }
  }

  /** What cannot be read now the node asks for itself, or gets by the next comparison. */
  async #read(name: Reference): Promise<KubeObject | undefined> {
    try {
      return await this.#options.read(name);
    } catch (error) {
      this.#options.log.debug("cannot read what a pod needs", { object: name, error: describeError(error) });
      return undefined;
    }
  }

  async #sendPod(
    node: string,
    operation: Operation,
    { pod, gained }: { readonly pod: Pod; readonly gained: readonly Reference[] },
  ): Promise<void> {
    for (const name of gained) {
      const object = await this.#read(name);
      if (object) await this.#send(node, "insert", object);
    }
    await this.#send(node, operation, pod);
  }

  /** What another pod has come to need meanwhile stays. */
  async #giveUp(node: string, lost: readonly Reference[]): Promise<void> {
    for (const name of lost) {
      if (this.#options.placement.reads(node, name)) continue;
      const object = await this.#read(name);
      if (object) await this.#send(node, "delete", { ...object, data: undefined, binaryData: undefined });
    }
  }

  async #send(node: string, operation: Operation, object: KubeObject): Promise<void> {
    const { port } = this.#options;
    const isPod = object.kind === "Pod" && operation !== "delete";
    // Pods are of the API, and it validated them.
    const told = isPod ? await this.#withHandler(object as Pod) : object;
    await port.ask("object.deliver", { node, operation, object: withoutManagedFields(told) });
  }

  async #withHandler(pod: Pod): Promise<Pod> {
    const { servicesOf, handlerOf } = this.#options;
    const linked = withServiceLinks(pod, servicesOf(pod.metadata.namespace ?? ""));
    const name = asText(pod.spec["runtimeClassName"]);
    const handler = name === "" ? undefined : await handlerOf(name);
    return handler === undefined ? linked : { ...linked, [runtimeHandlerField]: handler };
  }
}

const ourKinds: ReadonlySet<string> = new Set([
  "Pod",
  "ConfigMap",
  "Secret",
  "PersistentVolumeClaim",
  "PersistentVolume",
]);

function isOurs({ kind, apiVersion }: DeliveredObject): boolean {
  return apiVersion === "v1" && ourKinds.has(kind);
}

function podsFirst(a: DeliveredObject, b: DeliveredObject): number {
  return Number(b.kind === "Pod") - Number(a.kind === "Pod");
}

/** A pod that differs in its status alone is current: the status is the node's own. */
export function isCurrent(record: DeliveredObject | undefined, object: KubeObject): boolean {
  if (!record) return false;
  if (record.resourceVersion === object.metadata.resourceVersion) return true;
  return record.digest !== undefined && record.digest === contentDigest(object);
}
