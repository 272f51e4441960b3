import { isIP } from "node:net";
import { quote } from "#shared/errors";
import type { LogLevel } from "#shared/log";
import type { CloudValues } from "./cloud-fields.ts";

/** How to reach a Kubernetes API; neither `master` nor `kubeconfig`: the embedded one. */
export interface KubeAccess {
  readonly master: string | undefined;
  readonly kubeconfig: string | undefined;
  /** undefined: all namespaces */
  readonly namespace: string | undefined;
  readonly qps: number;
  readonly burst: number;
}

export interface EmbeddedConfig {
  readonly address: string;
  readonly port: number;
  readonly advertise: readonly string[];
  /** undefined: beside the database */
  readonly encryptionKeyFile: string | undefined;
}

export interface CloudHubConfig {
  readonly address: string;
  readonly port: number;
  readonly httpsPort: number;
  /** For tunnels of KubeEdge's nodes; undefined: disabled. */
  readonly tunnelPort: number | undefined;
  /** empty: the machine's own addresses and host name */
  readonly advertise: readonly string[];
  /** Paths of PEM files; undefined: kept under the data directory. */
  readonly caFile: string | undefined;
  readonly caKeyFile: string | undefined;
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
  readonly keepaliveMs: number;
  readonly writeTimeoutMs: number;
  /** Whether requests of nodes are passed on to the Kubernetes API. */
  readonly nodeApi: boolean;
  readonly nodeLimit: number;
  readonly edgeCertDays: number;
  readonly tokenHours: number;
  /** Whether certificates with CN `kubeedge.io` speak for every node. */
  readonly sharedCertificate: boolean;
}

/** Where the API server of an existing cluster reaches the kubelets of nodes. */
export interface StreamPortConfig {
  readonly address: string;
  readonly port: number;
  /** Paths of PEM files; undefined: the CA of the API server, the certificate of cloudhub. */
  readonly caFile: string | undefined;
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
  /** The InternalIP that nodes are reported with; undefined: their own. */
  readonly nodeAddress: string | undefined;
}

export interface TelemetryConfig {
  readonly uploads: { readonly limitBytes: number; readonly maxAgeMs: number };
  /** undefined: nothing is asked for over HTTP */
  readonly http: { readonly address: string; readonly port: number; readonly tokenFile?: string } | undefined;
}

export interface RouterConfig {
  readonly address: string;
  readonly port: number;
  readonly bodyBytes: number;
  /** of one rule */
  readonly queueBytes: number;
  readonly queueAgeMs: number;
  readonly localTargets: boolean;
}

/** What cloudcore runs with. */
export interface CloudConfig {
  readonly dataDir: string;
  readonly logLevel: LogLevel;
  readonly kube: KubeAccess;
  readonly nodeUpdateMs: number;
  readonly cloudHub: CloudHubConfig;
  readonly deviceController: {
    readonly enabled: boolean;
    readonly kube: KubeAccess;
    readonly statusIntervalMs: number;
    /** undefined: as many as the API takes */
    readonly statusWritesPerSecond: number | undefined;
    readonly acceptDiscovered: boolean;
    /** Whether nodes have ConfigMaps with their devices. */
    readonly deviceProfiles: boolean;
  };
  readonly telemetry: TelemetryConfig;
  /** undefined with the embedded API, which needs none */
  readonly streamPort: StreamPortConfig | undefined;
  /** undefined: disabled */
  readonly router: RouterConfig | undefined;
  /** undefined when `kube` names an API server */
  readonly embedded: EmbeddedConfig | undefined;
}

export interface Overrides {
  readonly dataDir?: string | undefined;
  readonly logLevel?: LogLevel | undefined;
}

/** The typed form of a checked file. Problems are those a single field cannot show. */
export function toCloudConfig(values: CloudValues, overrides: Overrides): CloudConfig | readonly string[] {
  const kube = toKube(values.controller.kube);
  const deviceKube = toKube(values.devicecontroller.kube);
  const named = kube.master !== undefined || kube.kubeconfig !== undefined;
  const problems = findProblems(values, named);
  if (problems.length > 0) return problems;
  return {
    dataDir: overrides.dataDir ?? values["data-dir"],
    logLevel: overrides.logLevel ?? values["log-level"],
    kube,
    nodeUpdateMs: values.controller.kube.node_update_frequency * 1000,
    cloudHub: toHub(values),
    deviceController: {
      enabled: values.devicecontroller.enabled,
      kube: isElsewhere(deviceKube, kube) ? deviceKube : kube,
      statusIntervalMs: values.devicecontroller["status-interval-ms"],
      statusWritesPerSecond: values.devicecontroller["status-writes-per-second"] || undefined,
      acceptDiscovered: values.devicecontroller["accept-discovered"],
      deviceProfiles: values.devicecontroller["device-profiles"],
    },
    telemetry: toTelemetry(values.telemetry),
    streamPort: named && values.cloudstream.enabled ? toStreamPort(values) : undefined,
    router: values.router.enabled ? toRouter(values) : undefined,
    embedded: named ? undefined : toEmbedded(values.embedded),
  };
}

function toHub({ cloudhub: hub, cloudstream }: CloudValues): CloudHubConfig {
  return {
    address: hub.address,
    port: hub.port,
    httpsPort: hub["https-port"],
    tunnelPort: cloudstream.enabled ? cloudstream["tunnel-port"] : undefined,
    advertise: hub.advertise,
    caFile: orNothing(hub.ca),
    caKeyFile: orNothing(hub["ca-key"]),
    certFile: orNothing(hub.cert),
    keyFile: orNothing(hub.key),
    keepaliveMs: hub["keepalive-interval"] * 1000,
    writeTimeoutMs: hub["write-timeout"] * 1000,
    nodeApi: hub["node-api"],
    nodeLimit: hub["node-limit"],
    edgeCertDays: hub["edge-cert-days"],
    tokenHours: hub["token-hours"],
    sharedCertificate: hub["shared-certificate"],
  };
}

function toStreamPort({ cloudhub, cloudstream: stream }: CloudValues): StreamPortConfig {
  return {
    address: cloudhub.address,
    port: stream["stream-port"],
    caFile: orNothing(stream["stream-ca"]),
    certFile: orNothing(stream["stream-cert"]),
    keyFile: orNothing(stream["stream-key"]),
    nodeAddress: orNothing(stream["node-address"]),
  };
}

function toTelemetry(telemetry: CloudValues["telemetry"]): TelemetryConfig {
  const address = orNothing(telemetry.address);
  const tokenFile = orNothing(telemetry["token-file"]);
  return {
    uploads: {
      limitBytes: telemetry["upload-mb"] * 1_000_000,
      maxAgeMs: telemetry["upload-hours"] * 3_600_000,
    },
    http:
      address === undefined
        ? undefined
        : { address, port: telemetry.port, ...(tokenFile !== undefined && { tokenFile }) },
  };
}

function toRouter({ router, cloudhub }: CloudValues): RouterConfig {
  return {
    address: orNothing(router.address) ?? cloudhub.address,
    port: router.port,
    bodyBytes: router["body-mb"] * 1024 * 1024,
    queueBytes: router["queue-mb"] * 1_000_000,
    queueAgeMs: router["queue-hours"] * 3_600_000,
    localTargets: router["local-targets"],
  };
}

function isElsewhere(access: KubeAccess, kube: KubeAccess): boolean {
  const named = access.master !== undefined || access.kubeconfig !== undefined;
  return named && (access.master !== kube.master || access.kubeconfig !== kube.kubeconfig);
}

function toKube(kube: CloudValues["devicecontroller"]["kube"]): KubeAccess {
  return {
    master: orNothing(kube.master),
    kubeconfig: orNothing(kube.kubeconfig),
    namespace: orNothing(kube.namespace),
    qps: kube.qps,
    burst: kube.burst,
  };
}

function toEmbedded(values: CloudValues["embedded"]): EmbeddedConfig {
  const { address, port, advertise } = values;
  return { address, port, advertise, encryptionKeyFile: orNothing(values["encryption-key-file"]) };
}

function findProblems(values: CloudValues, named: boolean): string[] {
  const { embedded, controller, telemetry } = values;
  const problems = [...findHubProblems(values.cloudhub), ...findStreamProblems(values.cloudstream)];
  if (!named && !embedded.enabled)
    problems.push("controller.kube: expected master or kubeconfig as embedded.enabled is false, got neither");
  if (controller.kube.master !== "" && controller.kube.kubeconfig !== "")
    problems.push("controller.kube: expected master or kubeconfig, got both");
  problems.push(
    ...findOpenServer({
      address: { field: "telemetry.address", value: telemetry.address },
      tokenFile: { field: "telemetry.token-file", value: telemetry["token-file"] },
    }),
  );
  return problems;
}

function findHubProblems(hub: CloudValues["cloudhub"]): string[] {
  const { ca, cert, key, port } = hub;
  const problems: string[] = [];
  if ((cert === "") !== (key === ""))
    problems.push("cloudhub.cert: expected cert and key together, got one of them");
  if (cert !== "" && ca === "") problems.push("cloudhub.ca: expected the CA of cloudhub.cert, got nothing");
  if (ca !== "" && hub["ca-key"] === "" && cert === "")
    problems.push(
      "cloudhub.ca-key: expected the key of cloudhub.ca, or cloudhub.cert and cloudhub.key, got neither",
    );
  if (port !== 0 && port === hub["https-port"])
    problems.push(`cloudhub.https-port: expected another port than cloudhub.port, got ${port}`);
  return problems;
}

function findStreamProblems(stream: CloudValues["cloudstream"]): string[] {
  const problems: string[] = [];
  if ((stream["stream-cert"] === "") !== (stream["stream-key"] === ""))
    problems.push("cloudstream.stream-cert: expected stream-cert and stream-key together, got one of them");
  const address = stream["node-address"];
  if (address !== "" && isIP(address) === 0)
    problems.push(`cloudstream.node-address: expected an IP address, got ${quote(address)}`);
  return problems;
}

export function orNothing(text: string): string | undefined {
  return text === "" ? undefined : text;
}

interface Setting {
  readonly field: string;
  readonly value: string;
}

/** Whether only this machine reaches an address. */
export function isLoopback(address: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|\[?::1\]?|\[?::ffff:127(\.\d{1,3}){3}\]?)$/i.test(address);
}

/** A local server that a network would reach without a token. */
export function findOpenServer(server: { readonly address: Setting; readonly tokenFile: Setting }): string[] {
  const { address, tokenFile } = server;
  if (address.value === "" || isLoopback(address.value) || tokenFile.value !== "") return [];
  return [
    `${tokenFile.field}: expected a file with a token, as ${address.field} ${quote(address.value)} can be reached from other machines, got nothing; name a file, made with \`(umask 077; openssl rand -hex 32 > FILE)\`, or set ${address.field} to 127.0.0.1`,
  ];
}
