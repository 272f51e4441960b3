import { lstatSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "#shared/clock";
import type { Device, DeviceModel, Event } from "#shared/kube";
import type { ReceivedObject } from "#shared/topics";
import { startDmi, type DmiParts } from "#edge/device-twin/dmi";
import { startNode, type Node } from "#internal/test/edge/device-twin/whole-node.ts";

/** A node with DMI, to which objects come as from the cloud. */
export interface DmiNode extends AsyncDisposable, Pick<Node, "bus" | "store" | "twin" | "log"> {
  readonly socket: string;
  readonly events: Event[];
  deliver(object: Device | DeviceModel, operation?: ReceivedObject["operation"]): Promise<void>;
}

export async function startDmiNode(folder: string): Promise<DmiNode> {
  await using stack = new AsyncDisposableStack();
  const node = stack.use(await startNode(folder));
  const { bus, store, twin, log } = node;
  const socket = join(folder, "kubeedge/dmi.sock");
  const port: DmiParts["port"] = bus.port("dmi");
  stack.use(await startDmi({ node: "n", socket }, { port, store, show: twin.show, clock: systemClock, log }));
  const events: Event[] = [];
  const test = bus.port<never, "object.deliver", "event.recorded">("test");
  stack.use(test.on("event.recorded", ({ event }) => void events.push(event)));
  const owned = stack.move();
  return {
    bus,
    store,
    twin,
    log,
    socket,
    events,
    deliver: async (object, operation = "create") => {
      const { namespace = "default", name = "" } = object.metadata;
      const type = object.kind === "DeviceModel" ? "devicemodel" : "device";
      await test.ask("object.deliver", { type, namespace, name, operation, object, fromController: true });
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

export function modeOf(path: string): string {
  return (lstatSync(path).mode & 0o777).toString(8);
}

export function boiler(): DeviceModel {
  return {
    apiVersion: "devices.kubeedge.io/v1beta1",
    kind: "DeviceModel",
    metadata: { name: "boiler", namespace: "default", uid: "m-1", resourceVersion: "1" },
    spec: {
      protocol: "modbus",
      properties: [
        {
          name: "temperature",
          type: "FLOAT",
          accessMode: "ReadOnly",
          unit: "C",
          minimum: "-10",
          maximum: "120",
        },
        { name: "target", type: "INT", accessMode: "ReadWrite" },
      ],
    },
  };
}

export function boilerDevice(name = "boiler-1", target?: string): Device {
  return {
    apiVersion: "devices.kubeedge.io/v1beta1",
    kind: "Device",
    metadata: { name, namespace: "default", uid: `d-${name}`, resourceVersion: "2" },
    spec: {
      deviceModelRef: { name: "boiler" },
      nodeName: "n",
      protocol: { protocolName: "modbus", configData: { slaveID: 1, serialPort: "/dev/ttyS0", rate: 0.1 } },
      properties: [
        {
          name: "temperature",
          collectCycle: 1000,
          reportCycle: 2000,
          reportToCloud: true,
          visitors: {
            protocolName: "modbus",
            configData: { register: "HoldingRegister", offset: 2, isSwap: true, serial: 123_456_789 },
          },
        },
        {
          name: "target",
          ...(target !== undefined && { desired: { value: target } }),
          visitors: { protocolName: "modbus", configData: { register: "CoilRegister", offset: 3 } },
        },
      ],
    },
  };
}
