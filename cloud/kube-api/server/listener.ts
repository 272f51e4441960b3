import { anonymous, type Authenticator } from "#cloud/kube-api/auth";
import type { ServedBy } from "#cloud/kube-api/flow-control";
import { budgetOfProcess, headerOf, openEntrance, openFilesLimit, type Entrance } from "#shared/connections";
import { asError, ConfigError } from "#shared/errors";
import type { ApiServerConfig, ApiServerDeps } from "./api-server.ts";

export type HttpHandler = (request: Request, server: ServedBy) => Response | Promise<Response>;

/** Connections of one user; kubectl and client-go take a few. */
const mostConnections = 1000;
/** Larger bodies are cut by the HTTP server; those past 3 MiB get a 413 with the text of kube-apiserver (request-body.ts). */
const mostBodyBytes = 8 * 1024 * 1024;

interface Listening extends ApiServerDeps {
  /** The Unix socket behind the entrance. */
  readonly behind: string;
  readonly fetch: HttpHandler;
  readonly authenticator: Authenticator;
}

/** Serves HTTP on a Unix socket, without TLS. */
export function serveOnSocket(path: string, fetch: HttpHandler): Bun.Server<undefined> {
  return serve({ unix: path }, fetch);
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
      serveDirectly: (port) => serve({ hostname: address, port, tls: cert }, fetch),
      identify: (head) => identityOf(authenticator, head),
    });
  } catch (error) {
    const text = `Cannot serve the Kubernetes API on ${address}:${config.port}: ${asError(error).message}`;
    throw new ConfigError("api-listen-failed", text, { cause: error });
  }
}

type ListenAddress =
  | { readonly unix: string }
  | { readonly hostname: string; readonly port: number; readonly tls: { cert: string; key: string } };

function serve(address: ListenAddress, fetch: HttpHandler): Bun.Server<undefined> {
  const options = {
    idleTimeout: 0,
    maxRequestBodySize: mostBodyBytes,
    development: false,
    ...address,
    fetch: ((request, server) =>
      URL.canParse(request.url)
        ? fetch(request, server)
        : new Response("400 Bad Request\n", { status: 400 })) satisfies HttpHandler,
  };
  // The types of Bun 1.4 know no idle timeout of Unix sockets.
  return Bun.serve(options as unknown as Bun.Serve.Options<undefined>);
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
