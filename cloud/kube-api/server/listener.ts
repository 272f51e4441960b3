import { anonymous, type Authenticator } from "#cloud/kube-api/auth";
import type { Clock } from "#shared/clock";
import { budgetOfProcess, headerOf, openEntrance, openFilesLimit, type Entrance } from "#shared/connections";
import { asError, ConfigError } from "#shared/errors";
import { serveUpgrades, type ListenAddress, type UpgradeServer } from "#shared/upgrades";
import type { ApiServerConfig, ApiServerDeps } from "./api-server.ts";
import type { Served } from "./routes.ts";

export type HttpHandler = (request: Request, server: Served) => Response | Promise<Response>;

/** Connections of one user; kubectl and client-go take a few. */
const mostConnections = 1000;
/** Larger bodies are cut by the HTTP server; those past 3 MiB get a 413 with the text of kube-apiserver (request-body.ts). */
const mostBodyBytes = 8 * 1024 * 1024;
/** Requests that go on as a WebSocket or in SPDY. */
const upgradable = ["log", "exec", "attach", "portforward"].map(
  (name) => `/api/v1/namespaces/:namespace/pods/:name/${name}`,
);

interface Listening extends ApiServerDeps {
  /** The Unix socket behind the entrance. */
  readonly behind: string;
  readonly fetch: HttpHandler;
  readonly authenticator: Authenticator;
}

/** Serves HTTP on a Unix socket, without TLS. */
export function serveOnSocket(path: string, fetch: HttpHandler, clock: Clock): UpgradeServer {
  return serve({ unix: path }, fetch, clock);
}

/** Opens the TLS port in front of the Unix socket. @throws ConfigError when certificate or port cannot be used */
export function listen(config: ApiServerConfig, listening: Listening): Entrance {
  const { behind, fetch, authenticator, clock, log, connections } = listening;
  const { address, tls } = config;
  const openFiles = openFilesLimit();
  const cert = { cert: tls.certPem, key: tls.keyPem };
  try {
    return openEntrance({
      address,
      port: config.port,
      tls: cert,
      behind,
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

/** Who sent the first request of a connection, from its head, and how many connections that user may have. */
function identityOf(authenticator: Authenticator, head: string): { who: string; most: number } | undefined {
  const user = authenticator.identify(headerOf(head, "authorization"));
  if (!user || user === anonymous) return undefined;
  return {
    who: `user ${user.name}`,
    most: user.groups.includes("system:masters") ? Infinity : mostConnections,
  };
}
