import type { IncomingMessage, ServerResponse } from "node:http";
import type { CloudCertificates } from "#cloud/cloud-hub/certificates";
import { Enrolling, isSharedName, NodeGate, startSweeper } from "#cloud/cloud-hub/node-access";
import { answerDeliveries, Duplicates, Hub, type CloudHubPort } from "#cloud/cloud-hub/sessions";
import { Tunnels } from "#cloud/cloud-hub/tunnels";
import type { KubeClient } from "#cloud/kube-client";
import type { Clock } from "#shared/clock";
import type { CloudHubConfig } from "#shared/config";
import {
  budgetOfProcess,
  listenSecurely,
  type ConnectionBudget,
  type SecureServer,
} from "#shared/connections";
import { running, type Running } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import { fingerprintOf, fromPem } from "#shared/pki";
import { EnrollmentEndpoint } from "./enrollment.ts";

export type { CloudHubPort } from "#cloud/cloud-hub/sessions";

/** By it edgestream names its node; Node.js has names in lower case. */
const tunnelNodeHeader = "sessionhostnameoverride";

/** As `CloudHubConfig` of cloudcore's configuration. Ports may be 0: any free one. */
export interface HubConfig extends Pick<
  CloudHubConfig,
  | "address"
  | "port"
  | "httpsPort"
  | "tunnelPort"
  | "keepaliveMs"
  | "writeTimeoutMs"
  | "nodeLimit"
  | "edgeCertDays"
  | "sharedCertificate"
> {
  /** Name of the database of this cloud; nodes that know another one reject its changes. */
  readonly database?: string | undefined;
  /** Whether there is a device controller; without one messages of nodes about devices stay unanswered. */
  readonly devices: boolean;
  /** Whether there is a router that answers `rule.upload` and `rule.request`. */
  readonly rules: boolean;
}

export interface CloudHubDeps {
  readonly port: CloudHubPort;
  /** where it is on record who may join and who is banned */
  readonly kube: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly certificates: CloudCertificates;
  /** Places for connections, shared with the other servers of the process; of its own unless given. */
  readonly connections?: ConnectionBudget;
}

export interface CloudHub extends Running {
  /** where nodes connect */
  readonly port: number;
  /** where nodes get certificates */
  readonly httpsPort: number;
  /** where nodes of KubeEdge open tunnels; undefined: nowhere */
  readonly tunnelPort: number | undefined;
  /** Uses other certificates for new connections. @throws what `certificates` rejects with: the present ones stay */
  reload(certificates: Promise<CloudCertificates>): Promise<void>;
}

/**
 * The endpoint for nodes: their sessions on one port, their certificates on the other. What is sent to a node that is not
 * connected is dropped, and so is what a session had not delivered when it ends: senders wait for `node.connected` and send
 * again. A question to a node is sent once and answered over the same connection, or not at all.
 * @throws ConfigError when a port or the certificate cannot be used
 */
export async function startCloudHub(config: HubConfig, deps: CloudHubDeps): Promise<CloudHub> {
  await using stack = new AsyncDisposableStack();
  const { port, clock, kube } = deps;
  const log = deps.log.child({ module: "cloudhub" });
  if (config.sharedCertificate)
    log.warn(
      "cloudhub.shared-certificate is on: any holder of a certificate for kubeedge.io can connect as any node that has no certificate of its own",
    );
  let current = deps.certificates;
  const connections = deps.connections ?? budgetOfProcess(clock);
  const ca = (): string => fingerprintOf(fromPem(current.caPem) ?? new Uint8Array());
  const gate = stack.use(new NodeGate({ kube, clock, log, ca }));
  await gate.start();
  const { hub, tunnels } = makeHub(config, { ...deps, gate, log });
  const enrollment = await listenForEnrollment(config, { ...deps, connections, log, current: () => current });
  stack.use(enrollment);
  const sessions = stack.use(await listenForSessions(config, { ...deps, connections }, hub));
  const tunnelServer = await listenForTunnels(config, { ...deps, connections }, tunnels);
  if (tunnelServer) stack.use(tunnelServer);
  stack.use(tunnels);
  stack.use(hub);
  const review = async (node: string): Promise<void> => {
    await Promise.all([hub.review(node), tunnels.review(node)]);
  };
  stack.use(gate.watch((node) => void review(node)));
  stack.use(startSweeper({ kube, clock, log }));
  stack.use(clock.every(Math.max(50, Math.min(1000, config.keepaliveMs / 3)), () => hub.sweep()));
  stack.use(
    port.on("node.close", ({ node, reason }) => {
      hub.close(node, reason);
      tunnels.close(node, reason);
    }),
  );
  stack.use(answerDeliveries(port, hub, clock));
  const tunnelPort = tunnelServer?.port;
  log.info("nodes can connect", {
    port: sessions.port,
    httpsPort: enrollment.port,
    ...(tunnelPort !== undefined && { tunnelPort }),
  });
  return {
    ...running("cloudhub", stack.move()),
    port: sessions.port,
    httpsPort: enrollment.port,
    tunnelPort,
    reload: async (certificates) => {
      const next = await certificates;
      for (const server of [sessions, enrollment, tunnelServer]) server?.renew(pemsOf(next));
      current = next;
    },
  };
}

/** Both decide by the same rules who may connect as which node. */
function makeHub(
  config: HubConfig,
  { kube, clock, port, gate, log }: CloudHubDeps & { readonly gate: NodeGate },
): { readonly hub: Hub; readonly tunnels: Tunnels } {
  const tunnels: Tunnels = new Tunnels({
    admit: (request) => hub.admit(request, tunnelNodeHeader),
    refused: async ({ node, peer }) => (await gate.admit(node, peer.shown))?.text,
    clock,
    log,
  });
  const hub: Hub = new Hub({
    ...config,
    database: config.database,
    gate,
    duplicates: new Duplicates(kube, clock, log),
    port,
    openTunnelled: (node, head) => tunnels.openStream(node, head),
    clock,
    log,
  });
  return { hub, tunnels };
}

function pemsOf({ caPem, serverCert, serverKey }: CloudCertificates): {
  ca: string;
  cert: string;
  key: string;
} {
  return { ca: caPem, cert: serverCert, key: serverKey };
}

type ListenDeps = CloudHubDeps & { readonly connections: ConnectionBudget };

/** A server for peers that have to show a certificate of a node. */
function listenForNodes(
  { address, sharedCertificate }: HubConfig,
  { certificates, clock, connections }: ListenDeps,
  listening: { readonly port: number; readonly what: string },
): Promise<SecureServer> {
  return listenSecurely({
    tls: { ...pemsOf(certificates), requestCert: true, rejectUnauthorized: true },
    address,
    ...listening,
    clock,
    connections,
    isShared: (name) => sharedCertificate && isSharedName(name),
  });
}

/** Nodes of KubeEdge open them, for logs and commands: their links carry messages alone. */
async function listenForTunnels(
  config: HubConfig,
  deps: ListenDeps,
  tunnels: Tunnels,
): Promise<SecureServer | undefined> {
  const { tunnelPort } = config;
  if (tunnelPort === undefined) return undefined;
  const server = await listenForNodes(config, deps, { port: tunnelPort, what: "tunnels of nodes" });
  server.http.on("upgrade", (request, socket, head) => {
    void tunnels.upgrade(request, socket, head).then((taken) => taken && server.release(request.socket));
  });
  server.http.on("request", (_request, response) => tunnels.answer(response));
  return server;
}

async function listenForSessions(config: HubConfig, deps: ListenDeps, hub: Hub): Promise<SecureServer> {
  const server = await listenForNodes(config, deps, { port: config.port, what: "nodes" });
  server.http.on("upgrade", (request, socket, head) => {
    void hub.upgrade(request, socket, head).then((taken) => taken && server.release(request.socket));
  });
  server.http.on("request", (request, response) => void answerAdmission(hub, request, response));
  return server;
}

/** `edgecore check` asks without connecting: a connection would replace the one of the running edgecore. */
async function answerAdmission(hub: Hub, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const found = await hub.admit(request);
  const headers = { "content-type": "text/plain; charset=utf-8", connection: "close" };
  if ("code" in found) response.writeHead(found.code, headers).end(`${found.text}\n`);
  else
    response
      .writeHead(426, { ...headers, upgrade: "websocket" })
      .end("nodes connect here with a WebSocket\n");
}

async function listenForEnrollment(
  config: HubConfig,
  deps: ListenDeps & { readonly current: () => CloudCertificates },
): Promise<SecureServer> {
  const { certificates, current, clock, log, kube, connections } = deps;
  const { edgeCertDays, sharedCertificate } = config;
  const enrolling = new Enrolling(kube, clock);
  const endpoint = new EnrollmentEndpoint({
    certificates: current,
    edgeCertDays,
    sharedCertificate,
    enrolling,
    clock,
    log,
  });
  const server = await listenSecurely({
    tls: { ...pemsOf(certificates), requestCert: true, rejectUnauthorized: false },
    address: config.address,
    port: config.httpsPort,
    what: "enrollment",
    clock,
    connections,
    isShared: (name) => config.sharedCertificate && isSharedName(name),
  });
  server.http.on("request", (request, response) => void endpoint.serve(request, response));
  return server;
}
