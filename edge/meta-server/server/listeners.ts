import type { Clock } from "#shared/clock";
import { budgetOfProcess, headerOf, openFront, socketPath, type Front } from "#shared/connections";
import { asError, ConfigError, describeError } from "#shared/errors";
import type { Logger } from "#shared/log";
import { serveUpgrades, type UpgradeOffer } from "#shared/upgrades";
import type { Caller, LocalAccess } from "#edge/meta-server/access";
import { upgradablePaths } from "#edge/meta-server/pods";
import type { ServerCertificates } from "./certificates.ts";
import { findPodNetwork, type PodNetwork } from "./pod-network.ts";

export interface ListenersOptions {
  readonly address: string;
  readonly port: number;
  /** "auto", an address of this machine, or empty */
  readonly podAddress: string;
  /** What pods with a network of their own reach now: asks the kernel unless given. */
  readonly findNetwork?: (() => PodNetwork | undefined) | undefined;
  readonly dataDir: string;
  readonly access: LocalAccess;
  readonly answer: (request: Request, offer?: UpgradeOffer) => Promise<Response>;
  /** Certificates for the loopback and these hosts. */
  readonly certificates: (hosts: readonly string[]) => Promise<ServerCertificates>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Docker may start after edgecore, and its bridge may get another address. */
const lookMs = 10_000;
/** Certificates end after a year and are renewed a month before. */
const renewMs = 12 * 3_600_000;
/** As kube-apiserver's clients send at most. */
const largestBody = 8 * 1024 * 1024;
/** Connections of one account; client-go takes one or two. */
const mostOfAccount = 256;
/** Connections with tokens that only the cloud can tell, together. */
const mostUnverified = 128;

/** The ports of the API: one for programs on the node, one for pods with a network of their own. */
export class Listeners implements AsyncDisposable {
  readonly #options: ListenersOptions;
  readonly #owned = new AsyncDisposableStack();
  readonly #timers = new DisposableStack();
  readonly #budget;
  readonly #behind: string;
  #main: Front | undefined;
  #cert = "";
  #pods: { readonly network: PodNetwork; readonly front: Front } | undefined;
  /** In the certificate of the main port, where pods use that. */
  #covered: string | undefined;
  #port = 0;
  #looking: Promise<void> | undefined;

  private constructor(options: ListenersOptions) {
    this.#options = options;
    this.#budget = budgetOfProcess(options.clock);
    this.#behind = this.#owned.use(socketPath(options.dataDir, "meta-server.sock")).path;
    const { answer, clock } = options;
    const server = serveUpgrades({
      address: { unix: this.#behind },
      mostBodyBytes: largestBody,
      upgradable: upgradablePaths,
      fetch: (request) => answer(request),
      upgrade: answer,
      clock,
    });
    this.#owned.defer(() => server.stop(true));
  }

  /** A port that is taken stops nothing else on the node: it is tried again until it is free. */
  static async open(options: ListenersOptions): Promise<Listeners> {
    const listeners = new Listeners(options);
    try {
      await listeners.#openOrRetry();
    } catch (error) {
      await listeners[Symbol.asyncDispose]();
      throw error;
    }
    const { clock } = options;
    const look = async (): Promise<void> => {
      if (!listeners.#main) await listeners.#renew();
      await listeners.#lookForPods();
    };
    listeners.#timers.use(clock.every(lookMs, () => listeners.#later(look)));
    const renew = async (): Promise<void> => {
      await listeners.#renew();
      await listeners.#lookForPods();
    };
    listeners.#timers.use(clock.every(renewMs, () => listeners.#later(renew)));
    return listeners;
  }

  get port(): number {
    return this.#port || this.#options.port;
  }

  /**
   * Where pods with a network of their own reach the API, now or as soon as it listens there: what a pod gets when it starts
   * is what it has until it ends. Undefined while there is no such network.
   */
  get podAddress(): string | undefined {
    const network = this.#findNetwork();
    if (network && network.address !== this.#pods?.network.address) this.#later(() => this.#lookForPods());
    return network?.address;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#timers.dispose();
    await this.#looking;
    await this.#owned.disposeAsync();
  }

  async #openOrRetry(): Promise<void> {
    const { log } = this.#options;
    try {
      await this.#renew();
      await this.#lookForPods();
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      log.error("cannot serve the Kubernetes API on the node, retrying", { error: describeError(error) });
    }
  }

  #later(work: () => Promise<void>): void {
    const { log } = this.#options;
    if (this.#timers.disposed) return;
    this.#looking = (this.#looking ?? Promise.resolve()).then(work).catch((error: unknown) => {
      log.warn("cannot serve the API on the node to pods or with a new certificate", {
        error: describeError(error),
      });
    });
  }

  async #renew(): Promise<void> {
    const { address, port, certificates } = this.#options;
    const network = this.#findNetwork();
    const { cert, key } = await certificates(network ? [network.address] : []);
    if (cert === this.#cert) return;
    this.#main?.stopListening();
    const front = this.#listen({ address, port: this.#port || port, tls: { cert, key } });
    this.#main = front;
    this.#cert = cert;
    this.#port = front.port;
    this.#closePods();
  }

  /** Listens where pods are, as soon as there is such a network, and elsewhere when it gets another address. */
  async #lookForPods(): Promise<void> {
    const { certificates, log, address } = this.#options;
    if (!this.#main) return;
    const network = this.#findNetwork();
    if (network && (network.address === address || address === "0.0.0.0")) return this.#cover(network);
    if (network?.address === this.#pods?.network.address) return;
    this.#closePods();
    if (!network) return;
    const tls = await certificates([network.address]);
    const front = this.#listen({ address: network.address, port: this.#port, tls, network });
    this.#pods = { network, front };
    log.info("serving the API on the node to pods", { address: network.address, port: this.#port });
  }

  #findNetwork(): PodNetwork | undefined {
    const { findNetwork, podAddress } = this.#options;
    return findNetwork ? findNetwork() : findPodNetwork(podAddress);
  }

  /** Pods use the main port: its certificate has to name the address that they use. */
  async #cover({ address }: PodNetwork): Promise<void> {
    if (this.#covered === address) return;
    await this.#renew();
    this.#covered = address;
  }

  #closePods(): void {
    this.#pods?.front.stopListening();
    this.#pods = undefined;
  }

  #listen({
    address,
    port,
    tls,
    network,
  }: {
    readonly address: string;
    readonly port: number;
    readonly tls: { readonly cert: string; readonly key: string };
    readonly network?: PodNetwork;
  }): Front {
    const { clock } = this.#options;
    const budget = {
      admit: (peer: string | undefined, close: () => void) =>
        network && !network.includes(peer ?? "") ? undefined : this.#budget.admit(peer, close),
    };
    const { cert, key } = tls;
    try {
      const identify = (head: string): { who: string; most: number } | undefined => this.#identify(head);
      return this.#owned.use(
        openFront({ address, port, tls: { cert, key }, behind: this.#behind, budget, clock, identify }),
      );
    } catch (cause) {
      const text = `Cannot serve the API on the node on ${address}:${port}: ${asError(cause).message}; meta-server.port names another`;
      throw new ConfigError("listen", text, { cause });
    }
  }

  #identify(head: string): { who: string; most: number } | undefined {
    const { access } = this.#options;
    const caller: Caller = access.callerOf(headerOf(head, "authorization") ?? null);
    if (caller.kind === "anonymous") return undefined;
    if (caller.kind === "operator") return { who: "operator", most: mostOfAccount };
    const verdict = access.verify(caller.token);
    if (!verdict.ok) return { who: "unverified", most: mostUnverified };
    return { who: `${verdict.claims.namespace}/${verdict.claims.account}`, most: mostOfAccount };
  }
}
