import { Bus } from "#shared/bus";
import {
  defaultDeviceController,
  startDeviceController,
  type DeviceControllerConfig,
  type DeviceControllerPort,
  type LostStatuses,
} from "#cloud/device-controller";
import type { Device } from "#shared/kube";
import type { CloudCatalog, DeliveredObject, DevicePlace } from "#shared/topics";
import type { WireMessage } from "#shared/wire";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { FakeKubeClient } from "#internal/test/support/fake/fake-kube-client.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { startWireHub } from "#internal/test/support/cloud/wire-hub.ts";

export const device = (name: string, node: string, target = "21"): Device => ({
  apiVersion: "devices.kubeedge.io/v1beta1",
  kind: "Device",
  metadata: { name, namespace: "default", labels: { description: "hall" } },
  spec: {
    deviceModelRef: { name: "thermo-model" },
    nodeName: node,
    properties: [{ name: "target", desired: { value: target } }],
  },
});

export const model = {
  apiVersion: "devices.kubeedge.io/v1beta1",
  kind: "DeviceModel",
  metadata: { name: "thermo-model", namespace: "default" },
  spec: { properties: [{ name: "temperature", type: "FLOAT" }] },
};

export interface Cloud extends AsyncDisposable {
  readonly kube: FakeKubeClient;
  readonly clock: FakeClock;
  /** `operation resource` by node, in order, and the messages themselves. */
  readonly sent: { node: string; text: string; message: WireMessage }[];
  /** What was recorded before it was sent, in order. */
  readonly recorded: DeliveredObject[];
  readonly delivered: DeliveredObject[];
  texts(): string[];
  find(name: string): Promise<DevicePlace | undefined>;
  say(resource: string, content: unknown, id?: string): Promise<void>;
  connect(node: string): Promise<void>;
}

/** The device controller with the test in the place of the API and of the hub. */
export async function startCloud(
  prepare: (kube: FakeKubeClient) => void = () => undefined,
  {
    lostStatuses,
    ...config
  }: Partial<DeviceControllerConfig> & { readonly lostStatuses?: LostStatuses } = {},
): Promise<Cloud> {
  const clock = new FakeClock();
  const kube = new FakeKubeClient({ clock });
  prepare(kube);
  const bus = new Bus<CloudCatalog>({
    onFailure: (topic, module, error) => {
      throw new Error(`${topic} ${module}`, { cause: error });
    },
  });
  const sent: Cloud["sent"] = [];
  const delivered: DeliveredObject[] = [];
  const hub = bus.port<"node.connected", "device.find", never, "object.sending" | "object.delivered">("hub");
  const wire = startWireHub(bus.port("cloudhub"), clock, (node, message) => {
    sent.push({ node, text: `${node} ${message.route.operation} ${message.route.resource}`, message });
  });
  const recorded: DeliveredObject[] = [];
  hub.answer("object.sending", async ({ object }) => {
    recorded.push(object);
    return "0";
  });
  hub.answer("object.delivered", async () => delivered);
  const port: DeviceControllerPort = bus.port("devicecontroller");
  const controller = await clock.until(
    startDeviceController(
      { ...defaultDeviceController, ...config },
      { port, kube, clock, log: silentLog(), ...(lostStatuses && { lostStatuses }) },
    ),
  );
  return {
    kube,
    clock,
    sent,
    recorded,
    delivered,
    texts: () => sent.map(({ text }) => text),
    find: (name) => hub.ask("device.find", { namespace: "default", name }),
    say: async (resource, content, id = "m1") => {
      const route = { source: "twin", group: "resource", operation: "update", resource };
      void wire.receive("edge-1", { header: { msg_id: id, timestamp: 1 }, route, content });
      await clock.advance(1);
    },
    connect: async (node) => {
      await hub.emit("node.connected", { node });
      await clock.advance(1);
    },
    [Symbol.asyncDispose]: async () => {
      await clock.until(Promise.resolve(controller[Symbol.asyncDispose]()));
    },
  };
}
