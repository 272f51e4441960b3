import {
  ignoreMissing,
  isKubeError,
  objectAt,
  resources,
  type Informer,
  type KubeClient,
} from "#cloud/kube-client";
import { WorkQueue } from "#cloud/controllers/framework";
import { rfc3339, type Clock } from "#shared/clock";
import { asError, ProtocolError } from "#shared/errors";
import { objectKey } from "#shared/kube";
import type { Logger } from "#shared/log";
import { fromPem, toPem, type Authority, type OpenedRequest, type SignedRequest } from "#shared/pki";
import { isOutdated } from "./cleaner.ts";
import { certifiedUsages, signers, validityOf } from "./signers.ts";
import { isToBeSigned, type CertificateSigningRequest } from "./signing-request.ts";

export interface SigningDeps {
  readonly kube: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly authority: Authority;
  /** Called before a certificate for clients is published: from the return on, the API has to ask clients for theirs. */
  readonly beforeIssue: (notAfterMs: number) => void;
}

/** Often enough: what is cleaned up waits an hour at least. */
const sweepMs = 600_000;

/** Signs approved requests for the signers of Kubernetes, as csrsigning of kube-controller-manager, and removes old requests. */
export function startCertificateSigner(deps: SigningDeps): AsyncDisposable {
  return new CertificateSigner(deps);
}

class CertificateSigner implements AsyncDisposable {
  readonly #deps: SigningDeps;
  readonly #queue: WorkQueue;
  readonly #requests: Informer<CertificateSigningRequest>;
  readonly #watch: Disposable;
  readonly #timer: Disposable;
  #sweeping: Promise<void> = Promise.resolve();

  constructor(deps: SigningDeps) {
    this.#deps = deps;
    this.#queue = new WorkQueue({ ...deps, name: "certificates", reconcile: (key) => this.#sign(key) });
    this.#requests = deps.kube.informer<CertificateSigningRequest>(resources.certificateSigningRequests);
    const check = (request: CertificateSigningRequest): void => {
      if (isToBeSigned(request)) this.#queue.add(objectKey(request));
    };
    this.#watch = this.#requests.watch({ added: check, updated: check });
    this.#timer = deps.clock.every(sweepMs, () => {
      this.#sweeping = this.#sweeping.then(() => this.#sweep());
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#timer[Symbol.dispose]();
    this.#watch[Symbol.dispose]();
    await this.#queue[Symbol.asyncDispose]();
    await this.#sweeping;
    await this.#requests[Symbol.asyncDispose]();
  }

  async #sign(key: string): Promise<void> {
    const request = this.#requests.get(key);
    const { signerName = "", usages = [] } = request?.spec ?? {};
    const judge = signers.get(signerName);
    if (!request || !judge || !isToBeSigned(request)) return;
    const opened = await openOrFault(this.#deps.authority, request);
    if (typeof opened === "string") return this.#fail(request, opened);
    const fault = judge({ ...opened.asked, usages });
    if (fault !== undefined) return this.#fail(request, fault);
    await this.#issue(request, opened);
  }

  async #issue(request: CertificateSigningRequest, opened: OpenedRequest): Promise<void> {
    const { clock, beforeIssue } = this.#deps;
    const { usages = [], expirationSeconds } = request.spec ?? {};
    const nowMs = clock.nowMs();
    const validity = validityOf(expirationSeconds, nowMs);
    const signed = await opened.certify({ usages: certifiedUsages(usages), nowMs, ...validity });
    if (usages.includes("client auth")) beforeIssue(signed.notAfterMs);
    await this.#publish(request, signed);
  }

  async #publish(
    request: CertificateSigningRequest,
    { der, serial, notAfterMs }: SignedRequest,
  ): Promise<void> {
    const certificate = Buffer.from(toPem(der, "CERTIFICATE")).toString("base64");
    await this.#write({ ...request, status: { ...request.status, certificate } });
    const { signerName } = request.spec ?? {};
    const { log } = this.#deps;
    log.info("certificate was issued", {
      request: request.metadata.name,
      signer: signerName,
      serial,
      expires: rfc3339(notAfterMs),
    });
  }

  async #fail(request: CertificateSigningRequest, message: string): Promise<void> {
    const now = rfc3339(this.#deps.clock.nowMs());
    const failed = {
      type: "Failed",
      status: "True",
      reason: "SignerValidationFailure",
      message,
      lastUpdateTime: now,
      lastTransitionTime: now,
    };
    const conditions = [...(request.status?.conditions ?? []), failed];
    await this.#write({ ...request, status: { ...request.status, conditions } });
  }

  /** One that was changed meanwhile comes again by the watch. */
  async #write(request: CertificateSigningRequest): Promise<void> {
    const type = resources.certificateSigningRequests;
    try {
      await this.#deps.kube.replace(type, request, { subresource: "status" });
    } catch (error) {
      if (!isKubeError(error, 404, 409)) throw error;
    }
  }

  async #sweep(): Promise<void> {
    const { kube, clock, log } = this.#deps;
    const type = resources.certificateSigningRequests;
    try {
      for (const request of this.#requests.list().filter((one) => isOutdated(one, clock.nowMs())))
        await ignoreMissing(kube.remove(type, objectAt(request)));
    } catch (error) {
      log.warn("cannot delete old certificate requests", { error: asError(error) });
    }
  }
}

/** The text of the fault when it cannot be read. */
async function openOrFault(
  authority: Authority,
  { spec }: CertificateSigningRequest,
): Promise<OpenedRequest | string> {
  const der = fromPem(Buffer.from(spec?.request ?? "", "base64").toString("latin1"));
  try {
    return await authority.openRequest(der ?? new Uint8Array());
  } catch (error) {
    if (error instanceof ProtocolError) return error.message;
    throw error;
  }
}
