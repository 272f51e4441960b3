import { connect, type MqttClient } from "mqtt";
import type { Host } from "#shared/cli";
import type { SimulateOptions } from "./options.ts";

/** Clients that reconnect every second; together they report once that the broker cannot be reached. */
export function dial(options: SimulateOptions, host: Pick<Host, "err" | "pid">): readonly MqttClient[] {
  const { address, shown, devices, connections } = options;
  let isLost = false;
  return Array.from({ length: Math.min(devices, connections) }, (_, n) => {
    const client = connect({
      ...address,
      reconnectPeriod: 1000,
      protocolVersion: 4,
      clientId: `simulator-${host.pid}-${n}`,
    });
    const reportLoss = (why: string): void => {
      if (!isLost && !client.disconnecting) host.err(`${shown}: ${why}; trying again every second\n`);
      isLost = true;
    };
    client.on("error", (error: Error & { readonly code?: string | number }) =>
      reportLoss(error.message === "" ? String(error.code) : error.message),
    );
    client.on("close", () => reportLoss("the connection was closed"));
    client.on("connect", () => {
      if (isLost) host.err(`${shown}: connected\n`);
      isLost = false;
    });
    return client;
  });
}

/** Resolves once it is connected. */
export function connected(client: MqttClient): Promise<void> {
  if (client.connected) return Promise.resolve();
  return new Promise((resolve) => client.once("connect", () => resolve()));
}
