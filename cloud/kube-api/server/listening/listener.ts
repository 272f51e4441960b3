import { anonymous, type Authenticator, type Peer, type User } from "#cloud/kube-api/auth";
import { peerOfCertificate, refusalOf } from "#cloud/kube-api/auth/certificates";
import type { Clock } from "#shared/clock";
import {
  budgetOfProcess,
  headerOf,
  openEntrance,
  openFilesLimit,
  type ConnectionBudget,
  type Entrance,
  type Guest,
  type ShownCertificate,
} from "#shared/connections";
import { asError, ConfigError } from "#shared/errors";
import { RateLimitedLog, type Logger } from "#shared/log";
import { serveUpgrades, type ListenAddress, type UpgradeServer } from "#shared/upgrades";
import type { HttpHandler } from "./served.ts";

/** Connections of one user; kubectl and client-go take a few. */
const mostConnections = 1000;
/** Larger bodies are cut by the HTTP server; those past 3 MiB get a 413 with the text of kube-apiserver (request-body.ts). */
const mostBodyBytes = 8 * 1024 * 1024;
/** Requests that go on as a WebSocket or in SPDY: those to pods, and to what aggregated servers call the same. */
const upgradable = [
  ...["log", "exec", "attach", "portforward"].map(
    (name) => `/api/v1/namespaces/:namespace/pods/:name/${name}`,
  ),
  ...["exec", "attach", "portforward", "console", "vnc"].map(
    (name) => `/apis/:group/:version/namespaces/:namespace/:resource/:name/${name}`,
  ),
];

export interface ListenConfig {
  readonly address: string;
  /** 0 for any free port */
  readonly port: number;
  readonly tls: { readonly certPem: string; readonly keyPem: string };
  /** The CA of client certificates; without one nobody is asked for a certificate. */
  readonly clientCaPem?: string;
}

interface Listening {
  readonly clock: Clock;
  readonly log: Logger;
  readonly connections?: ConnectionBudget | undefined;
  /** The Unix socket behind the entrance. */
  readonly behind: string;
  readonly fetch: HttpHandler;
  readonly authenticator: Authenticator;
  /** A place for a connection of a peer. */
  readonly open: (peer: Peer) => PeerPlace;
  /** Whether clients may have certificates now. */
  readonly hasCertificates: () => boolean;
}

/** Where the connections of a peer arrive. */
export interface PeerPlace extends Disposable {
  readonly path: string;
}

/** Serves HTTP on a Unix socket, without TLS. */
export function serveOnSocket(path: string, fetch: HttpHandler, clock: Clock): UpgradeServer {
  return serve({ unix: path }, fetch, clock);
}

/** Opens the TLS port in front of the Unix socket. @throws ConfigError when certificate or port cannot be used */
export function listen(config: ListenConfig, listening: Listening): Entrance {
  const { behind, fetch, authenticator, clock, log, connections, hasCertificates } = listening;
  const { address, tls, clientCaPem: clientCa } = config;
  const openFiles = openFilesLimit();
  const seldom = new RateLimitedLog(log, clock);
  const cert = { cert: tls.certPem, key: tls.keyPem };
  try {
    return openEntrance({
      address,
      port: config.port,
      tls: { ...cert, clientCa },
      behind,
      meet: (certificate) => guestOf(listening, seldom, certificate),
      hasCertificates,
      budget: connections ?? budgetOfProcess(clock),
      openFiles,
      clock,
      log,
      serveDirectly: (port) => serve({ hostname: address, port, tls: cert }, fetch, clock),
      identify: (head) => identityOf(authenticator, head),
    });
  } catch (error) {
    const text = `Cannot serve the Kubernetes API on ${address}:${config.port}: ${asError(error).message}`;
    throw new ConfigError("api-listen-failed", text, { cause: error });
  }
}

function serve(address: ListenAddress, answer: HttpHandler, clock: Clock): UpgradeServer {
  return serveUpgrades({
    address,
    clock,
    mostBodyBytes,
    upgradable,
    fetch: (request, server) => (URL.canParse(request.url) ? answer(request, server) : badRequest()),
    // A client that does not read such an answer holds a few hundred bytes.
    upgrade: async (request, offer) => answer(request, { timeout: () => undefined, ...(offer && { offer }) }),
  });
}

function badRequest(): Response {
  return new Response("400 Bad Request\n", { status: 400 });
}

/** A connection with a client certificate. */
function guestOf(
  { authenticator, open, clock }: Listening,
  seldom: RateLimitedLog,
  certificate: ShownCertificate,
): Guest | undefined {
  const peer = peerOfCertificate(certificate);
  if (!peer) return undefined;
  const place = open(peer);
  const user = authenticator.identify(undefined, peer);
  if (!user) {
    const { user: named, problem } = refusalOf(certificate, clock.nowMs());
    seldom.warn("a client certificate is not valid", { user: named, problem }, named);
  }
  return {
    behind: place.path,
    proven: user && provenBy(user),
    [Symbol.dispose]: () => place[Symbol.dispose](),
  };
}

/** Who sent the first request of a connection, from its head, and how many connections that user may have. */
function identityOf(authenticator: Authenticator, head: string): ReturnType<typeof provenBy> | undefined {
  const user = authenticator.identify(headerOf(head, "authorization"));
  return user && user !== anonymous ? provenBy(user) : undefined;
}

function provenBy({ name, groups }: User): { readonly who: string; readonly most: number } {
  return { who: `user ${name}`, most: groups.includes("system:masters") ? Infinity : mostConnections };
}
