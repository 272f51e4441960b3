import { resources, type KubeClient } from "#cloud/kube-client";
import type { Port } from "#shared/bus";
import type { Clock } from "#shared/clock";
import { listenSecurely, type ConnectionBudget } from "#shared/connections";
import type { Node } from "#shared/kube";
import { running, type Running } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import type { CloudCatalog } from "#shared/topics";
import { answerUpgrades } from "#shared/upgrades";
import { KubeletPort, type OpenNodeStream } from "./kubelet-port.ts";

/** What the stream port asks on the bus. */
export type CloudStreamPort = Port<CloudCatalog, never, "stream.open", never, never>;

export interface CloudStreamConfig {
  readonly address: string;
  readonly port: number;
  readonly pems: StreamPems;
}

/** PEM: who may ask, and what the server shows. */
export interface StreamPems {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

export interface CloudStreamParts {
  readonly port: CloudStreamPort;
  readonly kube: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly connections: ConnectionBudget;
}

export interface CloudStream extends Running {
  readonly listensAt: number;
  /** Uses other certificates for new connections. */
  renew(pems: StreamPems): void;
}

/**
 * The server of all nodes' kubelets, for the API server of an existing cluster: logs, exec, attach, port-forward and figures cross
 * the links of the nodes. It takes client certificates of one CA alone, and asks the API what their users may do.
 * @throws ConfigError when the port or a certificate cannot be used
 */
export async function startCloudStream(
  { address, port: wanted, pems }: CloudStreamConfig,
  { port, kube, clock, log, connections }: CloudStreamParts,
): Promise<CloudStream> {
  await using stack = new AsyncDisposableStack();
  const nodes = stack.use(kube.informer<Node>(resources.nodes));
  const openStream: OpenNodeStream = (node, head) => port.ask("stream.open", { node, head });
  const answers = new KubeletPort({ kube, nodes, openStream, clock, log });
  await nodes.synced;
  const server = stack.use(
    await listenSecurely({
      tls: { ...pems, requestCert: true, rejectUnauthorized: true },
      address,
      port: wanted,
      what: "the API server",
      clock,
      connections,
      // The API server opens a connection for each user that follows a log.
      isShared: () => true,
    }),
  );
  for (const event of ["request", "upgrade"] as const)
    server.http.prependListener(event, (request: { readonly socket: Parameters<typeof server.release>[0] }) =>
      server.release(request.socket),
    );
  answerUpgrades(server.http, { clock, upgrade: (...asked) => answers.answer(...asked) });
  log.info("the API server reaches nodes here", { port: server.port });
  return {
    ...running("cloudstream", stack.move()),
    listensAt: server.port,
    renew: (next) => server.renew(next),
  };
}
