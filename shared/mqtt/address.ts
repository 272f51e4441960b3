/** Where a client of MQTT connects to, as the client wants to have it. */
export interface MqttAddress {
  readonly protocol: "mqtt" | "mqtts" | "ws" | "wss";
  readonly hostname: string;
  /** undefined: the default of the protocol */
  readonly port?: number;
  /** Of WebSockets alone. */
  readonly path?: string;
  readonly username?: string;
  readonly password?: string;
}

const protocols: Readonly<Record<string, MqttAddress["protocol"]>> = {
  tcp: "mqtt",
  mqtt: "mqtt",
  ssl: "mqtts",
  tls: "mqtts",
  mqtts: "mqtts",
  ws: "ws",
  wss: "wss",
};

/** The parts of an address such as `ssl://host:8883`. @returns undefined when it is none */
export function parseMqttAddress(text: string): MqttAddress | undefined {
  const url = URL.parse(text);
  const protocol = protocols[url?.protocol.slice(0, -1) ?? ""];
  if (!url || protocol === undefined || url.hostname === "") return undefined;
  const overWebSocket = protocol === "ws" || protocol === "wss";
  const credentials = credentialsOf(url);
  if (!credentials) return undefined;
  return {
    protocol,
    hostname: overWebSocket ? url.hostname : url.hostname.replaceAll(/[[\]]/g, ""),
    ...(url.port !== "" && { port: Number(url.port) }),
    ...(overWebSocket && { path: url.pathname + url.search }),
    ...credentials,
  };
}

/** @returns undefined where a percent sign stands for no character */
function credentialsOf({ username, password }: URL): Pick<MqttAddress, "username" | "password"> | undefined {
  try {
    return {
      ...(username !== "" && { username: decodeURIComponent(username) }),
      ...(password !== "" && { password: decodeURIComponent(password) }),
    };
  } catch {
    return undefined;
  }
}
