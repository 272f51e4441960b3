import { randomUUID } from "node:crypto";
import type { Port } from "#shared/bus";
import type { Clock } from "#shared/clock";
import { contentDigest, objectKey, type Device, type DeviceModel } from "#shared/kube";
import { running, type Running } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import { responseTo, type CloudCatalog, type NodeMessage } from "#shared/message";
import type { KubeClient } from "#cloud/kubeclient";
import { Bindings, modelKeyOf, placeOf } from "./bindings.ts";
import { Downstream, member } from "./downstream.ts";
import { readStateReport, readTwinReport, type Report } from "./reports.ts";
import { DiscoveredDevices, readDiscovered } from "./discovered.ts";
import { StatusWriter } from "./status-writer.ts";

export { admitDevices } from "./admission.ts";

export interface DeviceControllerConfig {
  /** least time between two status writes of one device */
  readonly statusIntervalMs: number;
  /** status writes a second over all devices */
  readonly statusWritesPerSecond: number;
  /** Whether devices a node found by itself (Home Assistant's discovery) become objects. */
  readonly acceptDiscovered: boolean;
}

export const defaultDeviceController: DeviceControllerConfig = {
  statusIntervalMs: 500,
  statusWritesPerSecond: 600,
  acceptDiscovered: false,
};

export type DeviceControllerPort = Port<
  CloudCatalog,
  never,
  "node.send" | "object.sending" | "object.delivered",
  "twin.message" | "node.connected" | "node.resync",
  "device.find"
>;

export interface DeviceControllerParts {
  readonly port: DeviceControllerPort;
  readonly kube: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
}

const group = { group: "devices.kubeedge.io", version: "v1beta1", namespaced: true } as const;
const devicesType = { ...group, plural: "devices", kind: "Device" };
const modelsType = { ...group, plural: "devicemodels", kind: "DeviceModel" };

/**
 * Between the Device API and the nodes: devices and their models go to the node they are bound to, what nodes report
 * comes into the status. A node hears "OK" once its report is in the API, or when nobody wants it.
 */
export async function startDeviceController(
  config: DeviceControllerConfig,
  parts: DeviceControllerParts,
): Promise<Running> {
  const { port, kube, clock, log } = parts;
  await using stack = new AsyncDisposableStack();
  const devices = stack.use(kube.informer<Device>(devicesType));
  const models = stack.use(kube.informer<DeviceModel>(modelsType));
  const bindings = new Bindings();
  const model = (key: string): DeviceModel | undefined => models.get(key);
  const downstream = stack.use(new Downstream({ port, bindings, model, clock, log }));
  const writer = stack.use(
    new StatusWriter({
      kube,
      type: devicesType,
      device: (key) => devices.get(key),
      modelOf: (device) => model(modelKeyOf(device)),
      clock,
      log,
      perDeviceMs: config.statusIntervalMs,
      writesPerSecond: config.statusWritesPerSecond,
    }),
  );
  const discovered = config.acceptDiscovered ? stack.use(discoveredDevices(parts)) : undefined;
  const upstream = new Upstream(parts, { bindings, writer, discovered });
  await Promise.all([devices.synced, models.synced]);
  const here = new Set([...devices.list(), ...models.list()].map(({ metadata }) => metadata.uid));
  stack.use(
    devices.watch({
      added: (device) =>
        here.delete(device.metadata.uid) ? downstream.deviceKnown(device) : downstream.deviceAdded(device),
      updated: (device, old) => downstream.deviceUpdated(device, old),
      removed: (device) => {
        downstream.deviceRemoved(device);
        writer.forget(objectKey(device));
      },
    }),
  );
  stack.use(
    models.watch({
      added: (added) => {
        if (!here.delete(added.metadata.uid)) downstream.modelChanged(added);
      },
      updated: (changed, old) => {
        if (contentDigest(changed) !== contentDigest(old)) downstream.modelChanged(changed);
      },
      removed: (removed) => downstream.modelRemoved(removed),
    }),
  );
  stack.use(port.on("node.connected", ({ node }) => downstream.resync(node)));
  stack.use(port.on("node.resync", ({ node }) => downstream.resync(node)));
  stack.use(port.on("twin.message", (message) => upstream.receive(message)));
  stack.use(
    port.answer("device.find", async ({ namespace, name }) => placeOf(devices.get(`${namespace}/${name}`))),
  );
  log.info("device controller started", { devices: devices.list().length, models: models.list().length });
  return running("devicecontroller", stack.move());
}

function discoveredDevices({ kube, clock, log }: DeviceControllerParts): DiscoveredDevices {
  return new DiscoveredDevices({ kube, devices: devicesType, models: modelsType, clock, log });
}

interface UpstreamUses {
  readonly bindings: Bindings;
  readonly writer: StatusWriter;
  /** undefined: what nodes find does not become objects */
  readonly discovered: DiscoveredDevices | undefined;
}

/** What nodes say of their devices. */
class Upstream {
  readonly #parts: DeviceControllerParts;
  readonly #bindings: Bindings;
  readonly #writer: StatusWriter;
  readonly #discovered: DiscoveredDevices | undefined;

  constructor(parts: DeviceControllerParts, { bindings, writer, discovered }: UpstreamUses) {
    this.#parts = parts;
    this.#bindings = bindings;
    this.#writer = writer;
    this.#discovered = discovered;
  }

  receive(message: NodeMessage): void {
    const resource = (message.message.route.resource ?? "").replace(`node/${message.node}/`, "");
    const { content } = message.message;
    if (resource === "membership/detail") return this.#tellMembers(message);
    if (/^device\/[^/]+\/discovered$/.test(resource)) return this.#offer(message);
    const about = /^device\/(.+?)\/(twin\/edge_updated|state\/update|state)$/.exec(resource);
    if (!about) return this.#reply(message);
    const report = about[2] === "twin/edge_updated" ? readTwinReport(content) : readStateReport(content);
    this.#take(message, about[1] ?? "", report);
  }

  #take(message: NodeMessage, id: string, report: Report | undefined): void {
    const device = report && this.#bindings.find(message.node, id, report.deviceUid);
    if (!device) {
      this.#parts.log.debug("node reported a device it does not have, or nothing readable", {
        node: message.node,
        device: id,
      });
      return this.#reply(message);
    }
    this.#writer.submit(objectKey(device), report, () => this.#reply(message));
  }

  #offer(message: NodeMessage): void {
    const found = this.#discovered && readDiscovered(message.message.content, message.node);
    if (found) this.#discovered?.submit(found, () => this.#reply(message));
    else this.#reply(message);
  }

  /** A second answer to a message that was answered is ignored by the node: reports may come again. */
  #reply({ node, message }: NodeMessage, content: unknown = "OK", resource = "twin"): void {
    const { port, clock, log } = this.#parts;
    const stamp = { id: () => randomUUID(), nowMs: () => clock.nowMs() };
    const answer = responseTo(stamp, message, content, { source: "devicecontroller", group: "twin" });
    port
      .ask("node.send", { node, message: { ...answer, route: { ...answer.route, resource } } })
      .catch((error: unknown) => log.debug("cannot answer a node", { node, error }));
  }

  #tellMembers(message: NodeMessage): void {
    const devices = this.#bindings
      .devicesOf(message.node)
      .map((device) => member(this.#bindings.idOf(device), device));
    const content = { event_id: randomUUID(), timestamp: this.#parts.clock.nowMs(), devices };
    this.#reply(message, content, "membership/detail");
  }
}
