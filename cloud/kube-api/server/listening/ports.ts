import type { Authenticator } from "#cloud/kube-api/auth";
import type { RevisionStore } from "#cloud/kube-api/store";
import type { Clock } from "#shared/clock";
import { socketPath, type ConnectionBudget } from "#shared/connections";
import type { Logger } from "#shared/log";
import { CertificateTimes } from "./certificate-times.ts";
import { listen, serveOnSocket, type ListenConfig } from "./listener.ts";
import { PeerServers } from "./peer-servers.ts";
import type { HttpHandler } from "./served.ts";

interface PortsParts {
  readonly fetch: HttpHandler;
  readonly authenticator: Authenticator;
  readonly store: RevisionStore;
  readonly clock: Clock;
  readonly log: Logger;
  readonly connections?: ConnectionBudget | undefined;
}

export interface Ports extends AsyncDisposable {
  /** The Unix socket for clients of this process. */
  readonly socket: string;
  /** The TLS port. */
  readonly port: number;
  /** Certificates of the client CA are valid until then: from the return on, clients are asked for theirs. */
  askForCertificates(untilMs: number): void;
}

/** Opens everything that requests arrive at. @throws ConfigError when certificate or port cannot be used */
export async function openPorts(
  config: ListenConfig & { readonly dataDir: string },
  parts: PortsParts,
): Promise<Ports> {
  await using stack = new AsyncDisposableStack();
  const { fetch, store, clock } = parts;
  const { path } = stack.use(socketPath(config.dataDir, "api.sock"));
  const inner = serveOnSocket(path, fetch, clock);
  stack.defer(() => inner.stop(true));
  const peers = stack.use(new PeerServers(config.dataDir, fetch, clock));
  const certificates = new CertificateTimes(store);
  const entrance = stack.use(
    listen(config, {
      ...parts,
      behind: path,
      open: (peer) => peers.open(peer),
      hasCertificates: () => config.clientCaPem !== undefined && certificates.lastMs > clock.nowMs(),
    }),
  );
  const owned = stack.move();
  return {
    socket: path,
    port: entrance.port,
    askForCertificates: (untilMs) => {
      certificates.extend(untilMs);
      entrance.look();
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
