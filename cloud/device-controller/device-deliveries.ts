import { describeError } from "#shared/errors";
import { contentDigest, objectKey, type Device, type DeviceModel, type KubeObject } from "#shared/kube";
import { KeyedQueue } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import type { DeliveredObject, DeviceMember, MembershipDelivery, ObjectDelivery } from "#shared/topics";
import { memberOf, modelKeyOf, nodeOf, type Bindings } from "./bindings.ts";
import type { DeviceControllerPort } from "./port.ts";

/** Kept over restarts, until all nodes with devices were asked to report them again. */
export interface LostStatuses {
  /** Nodes that were asked; undefined: nothing is lost. */
  readonly asked: readonly string[] | undefined;
  save(asked: readonly string[] | undefined): void;
}

export interface DeviceDeliveriesOptions {
  readonly port: DeviceControllerPort;
  readonly bindings: Bindings;
  readonly model: (key: string) => DeviceModel | undefined;
  /** Of statuses that were lost: each node reports its devices again when it connects first. */
  readonly lostStatuses: LostStatuses | undefined;
  readonly log: Logger;
}

type Operation = ObjectDelivery["operation"];

/** A member has about 100 bytes: a message stays far below the largest. */
const membersAMessage = 500;

/**
 * Brings the devices of a node to it. Each change is sent at once; what a node missed while it was offline is found by
 * comparing what it acknowledged with what it should have. The messages of a node go out in order.
 */
export class DeviceDeliveries implements AsyncDisposable {
  readonly #options: DeviceDeliveriesOptions;
  /** what is to be sent, by node */
  readonly #queues: KeyedQueue<string>;
  /** Nodes that were asked to report again; undefined: none has to be. */
  #asked: Set<string> | undefined;

  constructor(options: DeviceDeliveriesOptions) {
    this.#options = options;
    const asked = options.lostStatuses?.asked;
    this.#asked = asked && new Set(asked);
    this.#queues = new KeyedQueue((node, error) =>
      options.log.warn("cannot send device objects now; the node is compared when it connects", {
        node,
        error: describeError(error),
      }),
    );
  }

  deviceAdded(device: Device): void {
    const { bindings } = this.#options;
    const node = nodeOf(device);
    const modelKey = modelKeyOf(device);
    const firstUse = node !== undefined && !bindings.uses(node, modelKey);
    bindings.add(device);
    if (node === undefined) return;
    const id = bindings.idOf(device);
    this.#queues.run(node, async () => {
      await this.#sendMembers(node, "added", [memberOf(id, device)]);
      const model = firstUse ? this.#options.model(modelKey) : undefined;
      if (model) await this.#sendObject(node, "insert", model);
      await this.#sendObject(node, "insert", device);
    });
  }

  /** A device that was there at the start: what the node lacks of it is found when the node connects. */
  deviceKnown(device: Device): void {
    this.#options.bindings.add(device);
  }

  deviceUpdated(device: Device, old: Device): void {
    if (nodeOf(device) === nodeOf(old)) return this.#stay(device, old);
    this.#leave(old);
    this.deviceAdded(device);
  }

  deviceRemoved(device: Device): void {
    this.#leave(device);
  }

  /** A model changed: the nodes that use it get it. */
  modelChanged(model: DeviceModel): void {
    for (const node of this.#options.bindings.nodesUsing(objectKey(model)))
      this.#queues.run(node, () => this.#sendObject(node, "update", model));
  }

  modelRemoved(model: DeviceModel): void {
    for (const node of this.#options.bindings.nodesUsing(objectKey(model)))
      this.#queues.run(node, () => this.#sendObject(node, "delete", model));
  }

  /** Repairs what the node missed. */
  resync(node: string): void {
    this.#queues.run(node, () => this.#compare(node));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#queues[Symbol.asyncDispose]();
    if (this.#asked) this.#saveAsked();
  }

  /** Another model is sent before the Device that uses it, and the old one is deleted after it: the node always has one. */
  #stay(device: Device, old: Device): void {
    const { bindings, model } = this.#options;
    const node = nodeOf(device);
    const modelKey = modelKeyOf(device);
    const firstUse = node !== undefined && !bindings.uses(node, modelKey);
    bindings.remove(old);
    bindings.add(device);
    if (node === undefined || contentDigest(device) === contentDigest(old)) return;
    const unused = this.#unused(node, old);
    this.#queues.run(node, async () => {
      const used = firstUse ? model(modelKey) : undefined;
      if (used) await this.#sendObject(node, "insert", used);
      await this.#sendObject(node, "update", device);
      if (unused) await this.#sendObject(node, "delete", unused);
    });
  }

  #leave(device: Device): void {
    const { bindings } = this.#options;
    const node = nodeOf(device);
    if (node === undefined) return;
    const id = bindings.idOf(device);
    bindings.remove(device);
    const unused = this.#unused(node, device);
    this.#queues.run(node, async () => {
      await this.#sendMembers(node, "removed", [memberOf(id, device)]);
      await this.#sendObject(node, "delete", device);
      if (unused) await this.#sendObject(node, "delete", unused);
    });
  }

  /** The model of a device that was there, if no other needs it. */
  #unused(node: string, device: Device): DeviceModel | undefined {
    const { bindings, model } = this.#options;
    const modelKey = modelKeyOf(device);
    return bindings.uses(node, modelKey) ? undefined : model(modelKey);
  }

  async #compare(node: string): Promise<void> {
    const { port, bindings, model } = this.#options;
    const delivered = (await port.ask("object.delivered", { node })).filter(({ kind }) => isDeviceKind(kind));
    const devices = bindings.devicesOf(node);
    const models = bindings
      .modelsOf(node)
      .map((key) => model(key))
      .filter((found) => found !== undefined);
    const wanted = new Set([...devices, ...models].map(({ metadata }) => metadata.uid ?? ""));
    for (const gone of delivered.filter(({ uid }) => !wanted.has(uid))) await this.#sendGone(node, gone);
    const known = new Map(delivered.map((object) => [object.uid, object]));
    const missing = (object: KubeObject): boolean => !isCurrent(known.get(object.metadata.uid ?? ""), object);
    const fresh = devices.filter(missing);
    // A member that is added again is reported again.
    const isAsked = this.#asked?.has(node) ?? true;
    const members = (isAsked ? fresh : devices).map((device) => memberOf(bindings.idOf(device), device));
    for (let start = 0; start < members.length; start += membersAMessage)
      await this.#sendMembers(node, "added", members.slice(start, start + membersAMessage));
    if (!isAsked) this.#reportsAgain(node);
    for (const object of [...models.filter(missing), ...fresh])
      await this.#sendObject(node, known.has(object.metadata.uid ?? "") ? "update" : "insert", object);
  }

  #reportsAgain(node: string): void {
    this.#asked?.add(node);
    if (this.#options.bindings.nodes().some((one) => this.#asked?.has(one) !== true)) return;
    this.#asked = undefined;
    this.#saveAsked();
  }

  /** Of those asked, not before the end: after another crash all are asked again. */
  #saveAsked(): void {
    try {
      this.#options.lostStatuses?.save(this.#asked && [...this.#asked]);
    } catch (error) {
      this.#options.log.warn("cannot store which nodes have reported again; they are asked once more", {
        error: describeError(error),
      });
    }
  }

  async #sendGone(node: string, gone: DeliveredObject): Promise<void> {
    const { apiVersion, kind, namespace, name, uid, resourceVersion } = gone;
    const metadata = { namespace, name, uid, resourceVersion };
    const { bindings } = this.#options;
    const key = `${namespace}/${name}`;
    if (kind === "Device" && !bindings.has(node, key)) {
      const id = bindings.find(node, name) ? key : name;
      await this.#sendMembers(node, "removed", [{ id, name, namespace, uid }]);
    }
    await this.#sendObject(node, "delete", { apiVersion, kind, metadata });
  }

  async #sendMembers(
    node: string,
    change: MembershipDelivery["change"],
    devices: readonly DeviceMember[],
  ): Promise<void> {
    await this.#options.port.ask("membership.deliver", { node, change, devices });
  }

  async #sendObject(node: string, operation: Operation, object: KubeObject): Promise<void> {
    const { port } = this.#options;
    const { apiVersion = deviceApiVersion, kind = "", metadata } = object;
    const { namespace = "default", name = "", uid = "", resourceVersion = "0" } = metadata;
    const record = { apiVersion, kind, namespace, name, uid, resourceVersion };
    // Should the device return before the node gets this: the record of what the node has is not valid any more.
    const digest = operation === "delete" ? "" : contentDigest(object);
    await port.ask("object.sending", { node, object: { ...record, digest } });
    await port.ask("object.deliver", { node, operation, object: { ...object, kind, apiVersion } });
  }
}

const deviceApiVersion = "devices.kubeedge.io/v1beta1";

function isDeviceKind(kind: string): boolean {
  return kind === "Device" || kind === "DeviceModel";
}

function isCurrent(delivered: DeliveredObject | undefined, object: KubeObject): boolean {
  if (!delivered || delivered.resourceVersion === "0") return false;
  if (delivered.digest !== undefined) return delivered.digest === contentDigest(object);
  return delivered.resourceVersion === object.metadata.resourceVersion;
}
