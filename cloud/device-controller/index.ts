import { ChangeTimes, DesiredWrites } from "#cloud/device-controller/desired";
import { DeviceRules } from "#cloud/device-controller/rules";
import { DiscoveredDevices } from "#cloud/device-controller/discovered";
import { followProfiles } from "#cloud/device-controller/profiles";
import { StatusWriter, watchStatusLag, type StatusFigures } from "#cloud/device-controller/status";
import { resources, type Informer, type KubeClient } from "#cloud/kube-client";
import type { Clock } from "#shared/clock";
import { contentDigest, objectKey, type Device, type DeviceModel, type DeviceRule } from "#shared/kube";
import { running, type Running } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import { Bindings, deviceMembersOf, modelKeyOf, devicePlaceOf } from "./bindings.ts";
import { DeviceDeliveries, type LostStatuses } from "./device-deliveries.ts";
import type { DeviceControllerPort } from "./port.ts";
import { ReportIntake } from "./report-intake.ts";
import { Tidy } from "./tidy.ts";

export { admitDevices } from "./admission.ts";

export interface DeviceControllerConfig {
  /** least time between two status writes of one device */
  readonly statusIntervalMs: number;
  /** status writes a second over all devices; undefined: as many as the API takes */
  readonly statusWritesPerSecond: number | undefined;
  /** Whether devices a node found by itself (Home Assistant's discovery) become objects. */
  readonly acceptDiscovered: boolean;
  /** Whether nodes have ConfigMaps with their devices, for mappers of KubeEdge 1.12 and earlier. */
  readonly deviceProfiles: boolean;
}

export const defaultDeviceController: DeviceControllerConfig = {
  statusIntervalMs: 500,
  statusWritesPerSecond: undefined,
  acceptDiscovered: false,
  deviceProfiles: false,
};

export type { LostStatuses } from "./device-deliveries.ts";
export type { DeviceControllerPort } from "./port.ts";
export type { StatusFigures } from "#cloud/device-controller/status";

export interface DeviceControllerParts {
  readonly port: DeviceControllerPort;
  readonly kube: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
  /** What the API lost of the statuses that were written, as after a crash of the embedded one. */
  readonly lostStatuses?: LostStatuses;
}

export interface DeviceController extends Running {
  readonly figures: () => StatusFigures;
}

const group = { group: "devices.kubeedge.io", version: "v1beta1", namespaced: true } as const;
const devicesType = { ...group, plural: "devices", kind: "Device" };
const modelsType = { ...group, plural: "devicemodels", kind: "DeviceModel" };

/**
 * Between the Device API and the nodes, as KubeEdge's devicecontroller: devices and their models go to the node they are
 * bound to, what nodes report goes into the status. A report is answered once it is in the API, or when it is about nothing.
 */
export async function startDeviceController(
  config: DeviceControllerConfig,
  parts: DeviceControllerParts,
): Promise<DeviceController> {
  const { port, kube, clock, log, lostStatuses } = parts;
  await using stack = new AsyncDisposableStack();
  const devices = stack.use(kube.informer<Device>(devicesType));
  const models = stack.use(kube.informer<DeviceModel>(modelsType));
  const bindings = new Bindings();
  const model = (key: string): DeviceModel | undefined => models.get(key);
  const deliveries = stack.use(new DeviceDeliveries({ port, bindings, model, lostStatuses, log }));
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
  const figures = (): StatusFigures => writer.figures();
  stack.use(watchStatusLag({ figures, device: (key) => devices.get(key), kube, clock, log }));
  const times = new ChangeTimes();
  const desired = new DesiredWrites({ kube, type: devicesType, times });
  const discovered = config.acceptDiscovered ? stack.use(discoveredDevices(parts)) : undefined;
  const intake = new ReportIntake({ bindings, writer, discovered, log });
  // The definition may be missing on a cluster of one's own: devices do not wait for it.
  const rules = stack.use(kube.informer<DeviceRule>(resources.deviceRules));
  const deviceRules = stack.use(new DeviceRules({ port, kube, type: resources.deviceRules, rules, log }));
  await Promise.all([devices.synced, models.synced]);
  const tidy = new Tidy({ devices, model, writer });
  stack.use(follow({ devices, models, deliveries, writer, tidy, times, clock }));
  if (config.deviceProfiles) stack.use(followProfiles({ kube, devices, models, clock, log }));
  const compare = ({ node }: { readonly node: string }): void => {
    deliveries.resync(node);
    void rules.synced.then(() => deviceRules.compare(node));
  };
  stack.use(port.on("node.connected", compare));
  stack.use(port.on("node.resync", compare));
  stack.use(port.answer("device.rule-status", (report) => deviceRules.status(report)));
  stack.use(port.answer("device.report", (report) => intake.report(report)));
  stack.use(port.answer("device.discovered", (found) => intake.discovered(found)));
  stack.use(port.answer("device.desire", (request) => desired.write(request)));
  stack.use(port.answer("membership.list", async ({ node }) => deviceMembersOf(bindings, node)));
  stack.use(
    port.answer("device.find", async ({ namespace, name }) =>
      devicePlaceOf(devices.get(`${namespace}/${name}`)),
    ),
  );
  stack.use(
    port.answer("device.concerns", async ({ node, kind, namespace, name }) => {
      const key = `${namespace}/${name}`;
      return kind === "Device" ? bindings.has(node, key) : bindings.uses(node, key);
    }),
  );
  log.info("device controller started", { devices: devices.list().length, models: models.list().length });
  return Object.assign(running("devicecontroller", stack.move()), { figures });
}

function discoveredDevices({ kube, clock, log }: DeviceControllerParts): DiscoveredDevices {
  return new DiscoveredDevices({ kube, devices: devicesType, models: modelsType, clock, log });
}

interface Followed {
  readonly devices: Informer<Device>;
  readonly models: Informer<DeviceModel>;
  readonly deliveries: DeviceDeliveries;
  readonly writer: StatusWriter;
  readonly tidy: Tidy;
  readonly times: ChangeTimes;
  readonly clock: Clock;
}

/** Delivers every change of a Device or model to its node, and brings the statuses in line. */
function follow({ devices, models, deliveries, writer, tidy, times, clock }: Followed): Disposable {
  const here = new Set([...devices.list(), ...models.list()].map(({ metadata }) => metadata.uid));
  const stack = new DisposableStack();
  stack.use(
    devices.watch({
      added: (device) => {
        if (here.delete(device.metadata.uid)) deliveries.deviceKnown(device);
        else deliveries.deviceAdded(device);
        tidy.device(device);
      },
      updated: (device, old) => {
        times.changed(device, old, clock.nowMs());
        deliveries.deviceUpdated(device, old);
        tidy.device(device, old);
      },
      removed: (device) => {
        deliveries.deviceRemoved(device);
        writer.forget(objectKey(device));
      },
    }),
  );
  stack.use(
    models.watch({
      added: (added) => {
        if (!here.delete(added.metadata.uid)) deliveries.modelChanged(added);
        tidy.model(added);
      },
      updated: (changed, old) => {
        if (contentDigest(changed) === contentDigest(old)) return;
        deliveries.modelChanged(changed);
        tidy.model(changed);
      },
      removed: (removed) => deliveries.modelRemoved(removed),
    }),
  );
  return stack;
}
