import { checkPort, type PortToCheck } from "#shared/cli";
import type { BrokerConfig, EdgeConfig } from "#shared/config";
import { ConfigError } from "#shared/errors";

/** Where the built-in broker listens. */
export function brokerPorts({ url, websocketUrl }: BrokerConfig): PortToCheck[] {
  const tcp = { name: "mqtt", ...hostAndPort(url, 1884), setting: "mqtt.internal-server" };
  if (websocketUrl === undefined) return [tcp];
  const place = hostAndPort(websocketUrl, 1885);
  return [tcp, { name: "mqtt-websocket", ...place, setting: "mqtt.broker.websocket" }];
}

/** Where devices' values can be asked for. */
export function queryPorts({ query }: EdgeConfig["deviceTwin"]): PortToCheck[] {
  const setting = "devicetwin.query-port";
  const addressSetting = "devicetwin.query-address";
  return query ? [{ ...query, name: "devices", setting, addressSetting }] : [];
}

/** Where programs call targets of rules, while there is such a rule. */
export function servicePorts({ serviceBus }: EdgeConfig): PortToCheck[] {
  if (!serviceBus) return [];
  return [{ name: "service-bus", address: "127.0.0.1", port: serviceBus.port, setting: "service-bus.port" }];
}

/** Where the node's Kubernetes API is. */
export function nodeApiPorts({ metaServer }: EdgeConfig): PortToCheck[] {
  const setting = "meta-server.port";
  const addressSetting = "meta-server.address";
  if (!metaServer) return [];
  const { address, port, openHttp } = metaServer;
  const open = { name: "meta-server-open-http", setting: "meta-server.open-http" };
  return [
    { name: "meta-server", address, port, setting, addressSetting },
    ...(openHttp ? [{ ...openHttp, ...open }] : []),
  ];
}

/** A url without a port means `usual`, and a port that a scheme has by itself is still one. */
export function hostAndPort(url: string, usual: number): { readonly address: string; readonly port: number } {
  const { hostname } = new URL(url.replace(/^[a-z]+:/, "http:"));
  const port = /^[a-z]+:\/\/[^/?]*:(\d+)(?:[/?]|$)/.exec(url)?.[1];
  return { address: hostname.replaceAll(/[[\]]/g, ""), port: port === undefined ? usual : Number(port) };
}

/**
 * Who listens knows an address and no field: what is wrong with one is found here before, in the words of `check`. The
 * API on the node and the targets of rules are not what a node is for: they wait for their ports.
 * @throws ConfigError naming field, fault and way out of each
 */
export async function refuseUnusablePorts({ mqtt, deviceTwin }: EdgeConfig): Promise<void> {
  const wanted = [...(mqtt.broker ? brokerPorts(mqtt.broker) : []), ...queryPorts(deviceTwin)];
  const problems: string[] = [];
  for (const port of wanted) {
    const { state, subject, evidence, remedy } = await checkPort(port, { pid: undefined, ports: {} });
    if (state === "fail") problems.push(`${subject}: ${evidence}; ${remedy}`);
  }
  if (problems.length > 0) throw new ConfigError("bad-port", `Cannot start: ${problems.join(" | ")}`);
}
