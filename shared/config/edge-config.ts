import { join } from "node:path";
import { quote } from "#shared/errors";
import type { LogLevel } from "#shared/log";
import { orNothing, type Overrides } from "./cloud-config.ts";
import { toEdged, type EdgedConfig } from "./edged.ts";
import type { EdgeValues } from "./edge-fields.ts";
import { findContradictions, readOpenHttp } from "./edge-rules.ts";

/** Where a join token is given: as text, or in a file that is read each time it is needed. */
export interface TokenSource {
  readonly token: string | undefined;
  readonly tokenFile: string | undefined;
}

export interface EdgeHubConfig extends TokenSource {
  /** `wss://host:port/<project>/<node>/events` */
  readonly url: string;
  /** Where a cloud of KubeEdge takes tunnels; undefined: none is opened. */
  readonly tunnelUrl: string | undefined;
  /** Base URL of enrollment, without a path. */
  readonly httpsUrl: string;
  readonly projectId: string;
  readonly rotateCertificates: boolean;
  /** Paths of PEM files; undefined: what enrollment stored under the data directory. */
  readonly caFile: string | undefined;
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
  readonly handshakeTimeoutMs: number;
  readonly writeDeadlineMs: number;
  readonly readDeadlineMs: number;
  readonly heartbeatMs: number;
  readonly outboxLimitBytes: number;
}

export interface BrokerConfig {
  readonly url: string;
  readonly websocketUrl: string | undefined;
  /** Origins of web pages, in lower case. */
  readonly websocketOrigins: readonly string[];
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
  readonly caFile: string | undefined;
  readonly anonymous: boolean;
  readonly users: readonly { readonly name: string; readonly passwordHash: string }[];
  readonly acl: readonly {
    readonly user?: string | undefined;
    readonly topic: string;
    readonly access: "read" | "write" | "readwrite" | "deny";
  }[];
  readonly maxConnections: number;
  readonly maxPacketBytes: number;
  readonly slowClientsBytes: number;
  readonly sessionQueueSize: number;
  /** Unacknowledged messages of QoS 1 and 2 that a client of MQTT 5 may send. */
  readonly receiveMaximum: number;
  /** Topic aliases that a client of MQTT 5 may use. */
  readonly topicAliasMaximum: number;
  /** Seconds for which a session is kept after its connection; undefined: as long as the client asked for. */
  readonly sessionExpiryMaximum: number | undefined;
  /** Seconds; undefined: as long as the client asked for, and none for one that asked for none. */
  readonly keepaliveMaximum: number | undefined;
}

export interface ExternalBrokerConfig {
  readonly url: string;
  /** 4 is MQTT 3.1.1. */
  readonly protocol: 4 | 5;
  readonly clientId: string | undefined;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly caFile: string | undefined;
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
}

export interface MqttConfig {
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
  /** undefined in mode 2 */
  readonly broker: BrokerConfig | undefined;
  /** undefined in mode 0 */
  readonly external: ExternalBrokerConfig | undefined;
}

export interface TwinConfig {
  readonly history: {
    readonly maxAgeMs: number;
    readonly maxPerProperty: number;
    readonly maxPoints: number;
  };
  /** undefined: nothing is asked for over HTTP */
  readonly query:
    | {
        readonly address: string;
        readonly port: number;
        readonly tokenFile?: string;
        /** Where its server may keep files; a temporary place unless given. */
        readonly folder?: string;
      }
    | undefined;
  readonly discoveryPrefix: string | undefined;
  /** Where mappers register; undefined: disabled. */
  readonly dmiSocket: string | undefined;
  /** Directories of mappers that edgecore runs. */
  readonly mappers: readonly string[];
  /** What a loss of power may take of values of QoS 0; 0: nothing. */
  readonly flushMs: number;
  /** Protocols that are left to mappers, in lower case. */
  readonly mapperProtocols: readonly string[];
}

export interface ServiceBusConfig {
  /** on 127.0.0.1 */
  readonly port: number;
  readonly timeoutMs: number;
  readonly bodyLimitBytes: number;
  readonly allowedPorts: readonly number[];
  readonly refusedPorts: readonly number[];
}

export interface MetaServerConfig {
  readonly address: string;
  readonly port: number;
  /** "auto", an address, or empty */
  readonly podAddress: string;
  /** On the loopback: served there without TLS and authentication as well. */
  readonly openHttp?: { readonly address: string; readonly port: number } | undefined;
}

/** What edgecore runs with. */
export interface EdgeConfig {
  readonly dataDir: string;
  readonly logLevel: LogLevel;
  readonly nodeName: string;
  readonly databasePath: string;
  readonly edgeHub: EdgeHubConfig;
  readonly mqtt: MqttConfig;
  readonly edged: EdgedConfig;
  readonly deviceTwin: TwinConfig;
  /** undefined: disabled */
  readonly serviceBus: ServiceBusConfig | undefined;
  /** undefined: the node serves no Kubernetes API */
  readonly metaServer: MetaServerConfig | undefined;
  readonly podStatusIntervalMs: number;
}

export interface EdgeOverrides extends Overrides {
  readonly token?: string | undefined;
  readonly tokenFile?: string | undefined;
  readonly server?: string | undefined;
}

/** The typed form of a checked file; problems are those a single field cannot show. */
export function toEdgeConfig(
  values: EdgeValues,
  overrides: EdgeOverrides,
  hostName: string,
): EdgeConfig | readonly string[] {
  const names = nodeNames(values, hostName);
  const problems = [...findNameProblems(names), ...findContradictions(values)];
  const hub = toHub(values, overrides, names[0]?.name ?? "");
  if (typeof hub === "string") return [...problems, hub];
  if (problems.length > 0) return problems;
  const dataDir = overrides.dataDir ?? values["data-dir"];
  return {
    dataDir,
    logLevel: overrides.logLevel ?? values["log-level"],
    nodeName: names[0]?.name ?? "",
    databasePath: orNothing(values.database.path) ?? join(dataDir, "edgecore.db"),
    edgeHub: hub,
    mqtt: toMqtt(values.mqtt),
    edged: toEdged(values.edged),
    deviceTwin: { ...toTwin(values.devicetwin, dataDir), flushMs: values.database["flush-ms"] },
    serviceBus: toServiceBus(values),
    metaServer: toMetaServer(values["meta-server"]),
    podStatusIntervalMs: values.meta.sync.podstatus.interval * 1000,
  };
}

interface NodeName {
  readonly from: string;
  readonly name: string;
}

/** Every place that names the node, the host name only when there is no other. */
function nodeNames(values: EdgeValues, hostName: string): readonly NodeName[] {
  const given = [
    { from: "edged.hostname-override", name: values.edged["hostname-override"] },
    { from: "edgehub.controller.node-id", name: values.edgehub.controller["node-id"] },
    { from: "edgehub.websocket.url", name: pathOf(values.edgehub.websocket.url)[1] ?? "" },
  ].filter(({ name }) => name !== "");
  return given.length > 0 ? given : [{ from: "the host name", name: hostName.toLowerCase() }];
}

const dns1123 = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

function findNameProblems(names: readonly NodeName[]): string[] {
  const [first] = names;
  const bad = names.filter(({ name }) => !dns1123.test(name) || name.length > 253);
  if (first?.from === "the host name" && bad.length > 0)
    return [
      `edged.hostname-override: expected a node name, as the host name ${quote(first.name)} is none (lower-case letters, digits, "-" and ".")`,
    ];
  const other = names.find(({ name }) => name !== first?.name);
  return [
    ...bad.map(
      ({ from, name }) =>
        `${from}: expected a node name of lower-case letters, digits, "-" and ".", got ${quote(name)}`,
    ),
    ...(first && other
      ? [
          `${other.from}: expected the node name of ${first.from}, ${quote(first.name)}, got ${quote(other.name)}`,
        ]
      : []),
  ];
}

function toHub(values: EdgeValues, overrides: EdgeOverrides, node: string): EdgeHubConfig | string {
  const { edgehub } = values;
  const { websocket, controller } = edgehub;
  const address = splitAddress(overrides.server ?? edgehub.server);
  if (!address)
    return `edgehub.server: expected host or host:port, got ${quote(overrides.server ?? edgehub.server)}`;
  const projectId = pathOf(websocket.url)[0] ?? controller["project-id"];
  const base =
    websocket.url === "" || overrides.server !== undefined
      ? `wss://${address.host}:${address.port}`
      : new URL(websocket.url).origin;
  const enrollHost =
    websocket.url === "" || overrides.server !== undefined ? address.host : new URL(websocket.url).hostname;
  const tunnelUrl = toTunnelUrl(values.edgestream, enrollHost);
  if (tunnelUrl === "")
    return `edgestream.server: expected host or host:port, got ${quote(values.edgestream.server)}`;
  return {
    tunnelUrl,
    url: `${base.replace(/^https:/, "wss:")}/${projectId}/${node}/events`,
    httpsUrl: edgehub.https === "" ? `https://${enrollHost}:10002` : edgehub.https.replace(/\/+$/, ""),
    projectId,
    ...toTokenSource(edgehub, overrides),
    rotateCertificates: edgehub["rotate-certificates"],
    caFile: orNothing(websocket.cafile),
    certFile: orNothing(websocket.certfile),
    keyFile: orNothing(websocket.keyfile),
    handshakeTimeoutMs: websocket["handshake-timeout"] * 1000,
    writeDeadlineMs: websocket["write-deadline"] * 1000,
    readDeadlineMs: websocket["read-deadline"] * 1000,
    heartbeatMs: controller.heartbeat * 1000,
    outboxLimitBytes: edgehub["outbox-mb"] * 1_000_000,
  };
}

/** @returns undefined when it is disabled, and nothing for an address that is none */
function toTunnelUrl({ enabled, server }: EdgeValues["edgestream"], host: string): string | undefined {
  const address = splitAddress(server === "" ? host : server, tunnelPort);
  if (!address) return "";
  return enabled ? `wss://${address.host}:${address.port}/v1/kubeedge/connect` : undefined;
}

/** Of KubeEdge's cloudStream. */
const tunnelPort = 10_004;

/** Flags of this start replace values of the file. */
function toTokenSource(edgehub: EdgeValues["edgehub"], { token, tokenFile }: EdgeOverrides): TokenSource {
  if (token !== undefined) return { token, tokenFile: undefined };
  if (tokenFile !== undefined) return { token: undefined, tokenFile };
  return { token: orNothing(edgehub.token), tokenFile: orNothing(edgehub["token-file"]) };
}

/** `host`, `host:port`, `[v6]:port`. */
function splitAddress(
  server: string,
  fallback = 10_000,
): { readonly host: string; readonly port: number } | undefined {
  const match = /^(\[[0-9a-fA-F:]+\]|[\w.-]+)(?::(\d{1,5}))?$/.exec(server);
  const port = Number(match?.[2] ?? fallback);
  return match?.[1] !== undefined && port <= 65_535 ? { host: match[1], port } : undefined;
}

/** Project and node of a url `wss://…/<project>/<node>/events`; empty when it has no such path. */
function pathOf(url: string): readonly string[] {
  const parts =
    URL.parse(url)
      ?.pathname.split("/")
      .filter((part) => part !== "") ?? [];
  return parts.length === 3 && parts[2] === "events" ? parts.slice(0, 2) : [];
}

function toMqtt(mqtt: EdgeValues["mqtt"]): MqttConfig {
  const { broker } = mqtt;
  return {
    qos: mqtt.qos,
    retain: mqtt.retain,
    broker:
      mqtt.mode === 2
        ? undefined
        : {
            url: mqtt["internal-server"],
            websocketUrl: orNothing(broker.websocket),
            websocketOrigins: broker["websocket-origins"].map((origin) => origin.toLowerCase()),
            certFile: orNothing(broker.certfile),
            keyFile: orNothing(broker.keyfile),
            caFile: orNothing(broker.cafile),
            anonymous: broker.anonymous,
            users: broker.users.map((user) => ({ name: user.name, passwordHash: user["password-hash"] })),
            acl: broker.acl,
            maxConnections: broker["max-connections"],
            maxPacketBytes: broker["max-packet-kb"] * 1024,
            slowClientsBytes: broker["slow-clients-mb"] * 1024 * 1024,
            sessionQueueSize: mqtt["session-queue-size"],
            receiveMaximum: broker["receive-maximum"],
            topicAliasMaximum: broker["topic-alias-maximum"],
            sessionExpiryMaximum: broker["session-expiry-maximum-s"] || undefined,
            keepaliveMaximum: broker["keepalive-maximum-s"] || undefined,
          },
    external: mqtt.mode === 0 ? undefined : toExternal(mqtt),
  };
}

function toExternal(mqtt: EdgeValues["mqtt"]): ExternalBrokerConfig {
  return {
    url: mqtt.server,
    protocol: mqtt["protocol-version"],
    clientId: orNothing(mqtt["client-id"]),
    username: orNothing(mqtt.username),
    password: orNothing(mqtt.password),
    caFile: orNothing(mqtt.cafile),
    certFile: orNothing(mqtt.certfile),
    keyFile: orNothing(mqtt.keyfile),
  };
}

function toServiceBus({ "service-bus": bus, edged }: EdgeValues): ServiceBusConfig | undefined {
  // Access to the engine is root access to this machine.
  const { "runtime-endpoint": endpoint, "docker-address": older } = edged;
  const [, engine] = /^tcp:\/\/.*:(\d+)\/?$/.exec(endpoint || older) ?? [];
  if (!bus.enabled) return undefined;
  return {
    port: bus.port,
    timeoutMs: bus.timeout * 1000,
    bodyLimitBytes: bus["body-limit-mb"] * 1024 * 1024,
    allowedPorts: bus["allowed-ports"],
    refusedPorts: [...bus["refused-ports"], ...(engine === undefined ? [] : [Number(engine)])],
  };
}

function toMetaServer(given: EdgeValues["meta-server"]): MetaServerConfig | undefined {
  const { enabled, address, port, "pod-address": podAddress } = given;
  return enabled ? { address, port, podAddress, openHttp: readOpenHttp(given["open-http"]) } : undefined;
}

function toTwin(twin: EdgeValues["devicetwin"], dataDir: string): Omit<TwinConfig, "flushMs"> {
  const address = orNothing(twin["query-address"]);
  const tokenFile = orNothing(twin["query-token-file"]);
  return {
    history: {
      maxAgeMs: twin["history-hours"] * 3_600_000,
      maxPerProperty: twin["history-per-property"],
      maxPoints: twin["history-values"],
    },
    query:
      address === undefined
        ? undefined
        : {
            address,
            port: twin["query-port"],
            folder: dataDir,
            ...(tokenFile !== undefined && { tokenFile }),
          },
    discoveryPrefix: orNothing(twin["discovery-prefix"]),
    dmiSocket: orNothing(twin["dmi-socket"]),
    mappers: twin.mappers,
    mapperProtocols: twin["mapper-protocols"].map((protocol) => protocol.toLowerCase()),
  };
}
