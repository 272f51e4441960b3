import type { Clock } from "#shared/clock";
import { budgetOfProcess, openFront, socketPath, type Front } from "#shared/connections";
import { describeError } from "#shared/errors";
import type { Logger } from "#shared/log";

export interface OpenHttpOptions {
  /** Of the loopback. */
  readonly address: string;
  /** 0: any free one */
  readonly port: number;
  readonly dataDir: string;
  readonly answer: (request: Request) => Promise<Response>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Desired values and their envelope. */
const largestBody = 1024 * 1024;
/** Programs on one machine, which need no more than accounts that have a token. */
const mostConnections = 256;
const retryMs = 10_000;

/** The API on the node without TLS and authentication, as KubeEdge's MetaServer: for every program of this machine. */
export class OpenHttp implements AsyncDisposable {
  readonly #options: OpenHttpOptions;
  readonly #owned = new AsyncDisposableStack();
  readonly #behind: string;
  #front: Front | undefined;

  constructor(options: OpenHttpOptions) {
    this.#options = options;
    const { dataDir, answer: fetch, clock, log } = options;
    this.#behind = this.#owned.use(socketPath(dataDir, "open-http.sock")).path;
    const served = { unix: this.#behind, idleTimeout: 0, maxRequestBodySize: largestBody, fetch };
    // The types of Bun 1.4 know no idle timeout of Unix sockets.
    const server = Bun.serve(served as unknown as Bun.Serve.Options<undefined>);
    this.#owned.defer(() => server.stop(true));
    log.warn("serving the Kubernetes API on the node without authentication", this.#place());
    this.#listen();
    this.#owned.use(clock.every(retryMs, () => this.#listen()));
  }

  get port(): number {
    return this.#front?.port ?? this.#options.port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned.disposeAsync();
  }

  /** A port that is taken stops nothing else on the node: it is tried again until it is free. */
  #listen(): void {
    if (this.#front) return;
    const { address, port, clock, log } = this.#options;
    const budget = budgetOfProcess(clock);
    const identify = (): { who: string; most: number } => ({ who: "open-http", most: mostConnections });
    try {
      this.#front = openFront({ address, port, behind: this.#behind, budget, clock, identify });
      this.#owned.use(this.#front);
    } catch (error) {
      const fields = { ...this.#place(), error: describeError(error) };
      log.error("cannot serve the API on the node without authentication, retrying", fields);
    }
  }

  #place(): { readonly address: string; readonly port: number } {
    const { address, port } = this.#options;
    return { address, port };
  }
}
