import { connect, type MqttClient } from "mqtt";
import type { Host } from "#shared/cli";
import type { SimulateOptions } from "./options.ts";

/** Clients that go on trying; of a broker that is away they tell once, all together. */
export function dial(options: SimulateOptions, host: Pick<Host, "err" | "pid">): readonly MqttClient[] {
  const { address, shown, devices, connections } = options;
  let away = false;
  return Array.from({ length: Math.min(devices, connections) }, (_, n) => {
    const client = connect({
      ...address,
      reconnectPeriod: 1000,
      protocolVersion: 4,
      clientId: `simulator-${host.pid}-${n}`,
    });
    const tell = (why: string): void => {
      if (!away && !client.disconnecting) host.err(`${shown}: ${why}; trying again every second\n`);
      away = true;
    };
    client.on("error", (error: Error & { readonly code?: string | number }) =>
      tell(error.message === "" ? String(error.code) : error.message),
    );
    client.on("close", () => tell("the connection was closed"));
    client.on("connect", () => {
      if (away) host.err(`${shown}: connected\n`);
      away = false;
    });
    return client;
  });
}

/** Resolves once it is connected. */
export function connected(client: MqttClient): Promise<void> {
  if (client.connected) return Promise.resolve();
  return new Promise((resolve) => client.once("connect", () => resolve()));
}
