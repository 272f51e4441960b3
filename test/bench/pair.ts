import { readFileSync } from "node:fs";
import { join } from "node:path";
import { startCloud, waitReady, type Cloud } from "#internal/scripts/cluster.ts";
import { findEngine } from "#internal/scripts/engine.ts";
import { eventually, startService, type ServiceProcess } from "#internal/scripts/service.ts";
import { connectTo, inFlight, type Call } from "./api.ts";

const root = join(import.meta.dir, "../..");
export const devicesPath = "/apis/devices.kubeedge.io/v1beta1/namespaces/default";

/** Both executables with devices d1, d2 … that report `temperature` on the twin topics. */
export interface Pair extends AsyncDisposable {
  readonly cloud: Cloud;
  readonly call: Call;
  readonly edge: ServiceProcess;
  readonly mqtt: number;
  /** Socket of the engine. */
  readonly socket: string;
}

/** Starts them and returns when the node knows every device. */
export async function startPair(folder: string, devices: number, settings = ""): Promise<Pair> {
  await using stack = new AsyncDisposableStack();
  const engine = stack.use(await findEngine(join(root, ".run/docker")));
  const cloud = stack.use(await startCloud({ root, folder, settings }));
  const call = connectTo(cloud.kubeconfig);
  await makeDevices(call, devices);
  const words = await cloud.edgeWords("bench", engine.socket);
  const edge = stack.use(startService("edgecore", words, join(folder, "edgecore.log")));
  await Promise.race([edge.failed, waitReady(cloud, "bench", 30_000)]);
  const ports = portsOf(folder);
  await eventually(120_000, () => expectDevices(ports.devices, devices));
  const owned = stack.move();
  return {
    cloud,
    call,
    edge,
    mqtt: ports.mqtt,
    socket: engine.socket,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

export function portsOf(folder: string): { readonly mqtt: number; readonly devices: number } {
  const file = join(folder, "bench/ports.json");
  const { mqtt = 0, devices = 0 } = JSON.parse(readFileSync(file, "utf8")) as Record<string, number>;
  return { mqtt, devices };
}

async function makeDevices(call: Call, devices: number): Promise<void> {
  const apiVersion = "devices.kubeedge.io/v1beta1";
  await call("POST", `${devicesPath}/devicemodels`, {
    apiVersion,
    kind: "DeviceModel",
    metadata: { name: "probe" },
    spec: { protocol: "mqtt", properties: [{ name: "temperature", type: "FLOAT", accessMode: "ReadOnly" }] },
  });
  const spec = {
    deviceModelRef: { name: "probe" },
    nodeName: "bench",
    protocol: { protocolName: "mqtt" },
    properties: [{ name: "temperature" }],
  };
  await inFlight(devices, 32, (at) =>
    call("POST", `${devicesPath}/devices`, {
      apiVersion,
      kind: "Device",
      metadata: { name: `d${at}` },
      spec,
    }),
  );
}

export async function expectDevices(port: number, devices: number): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${port}/devices?limit=1`);
  const { total } = (await response.json()) as { total: number };
  if (total !== devices) throw new Error(`the node knows ${total} of ${devices} devices`);
}
