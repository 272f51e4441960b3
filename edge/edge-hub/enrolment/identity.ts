import type { Clock } from "#shared/clock";
import { readJoinToken, type EdgeConfig } from "#shared/config";
import { ConfigError, describeError } from "#shared/errors";
import type { Logger } from "#shared/log";
import { fingerprintOf, fromPem, readCertificate, splitToken } from "#shared/pki";
import {
  certificateFiles,
  findMissing,
  Joining,
  lifeOf,
  readCredentials,
  writeCredentials,
  type CertificateFiles,
  type Credentials,
} from "./certificates.ts";
import { enrol, renew, type Enrolment } from "./enrol.ts";

export type IdentityConfig = Pick<EdgeConfig, "dataDir" | "nodeName" | "edgeHub">;

interface Parts {
  readonly clock: Clock;
  readonly log: Logger;
  /** There is a new certificate: dial with it. */
  readonly onRenewed: () => void;
}

const lookEveryMs = 60_000;
const longestWaitMs = 3_600_000;

/** The certificate this node shows: read from disk, got with the token when there is none, renewed before it ends. */
export class Identity implements Disposable {
  readonly #config: IdentityConfig;
  readonly #parts: Parts;
  readonly #files: CertificateFiles;
  readonly #to: Enrolment;
  readonly #share: number;
  #looking: Disposable | undefined;
  readonly #joining: Joining;
  #renewing = false;
  #isRefused = false;
  #complaint: string | undefined;
  #lookAgainMs = 0;
  #failures = 0;

  constructor(config: IdentityConfig, parts: Parts) {
    this.#config = config;
    this.#parts = parts;
    this.#files = certificateFiles(config);
    this.#joining = new Joining(config.dataDir);
    this.#to = {
      httpsUrl: config.edgeHub.httpsUrl,
      node: config.nodeName,
      timeoutMs: config.edgeHub.handshakeTimeoutMs,
    };
    this.#share = 0.7 + 0.2 * parts.clock.random();
  }

  start(): void {
    if (this.#files.fixed || !this.#config.edgeHub.rotateCertificates) return;
    this.#looking = this.#parts.clock.every(lookEveryMs, () => void this.renewWhenDue());
  }

  /**
   * @returns undefined when there is neither a certificate nor a token to get one with
   * @throws ConfigError when what the configuration names cannot be used
   */
  async credentials(): Promise<Credentials | undefined> {
    if (this.#files.fixed) return this.#fixed();
    const { clock } = this.#parts;
    const given = readJoinToken(this.#config.edgeHub);
    const token = given && "token" in given ? given.token : undefined;
    const stored = this.#read(token !== undefined);
    const ended = stored !== undefined && lifeOf(stored.cert).endMs <= clock.nowMs();
    if (token !== undefined) {
      if (!stored || ended) return this.#enrol(token);
      return this.#isWanting(token, stored) ? this.#replace(token, stored) : stored;
    }
    if (!stored && given && "fault" in given)
      throw new ConfigError("token-file", `Cannot enrol: ${given.fault}`);
    this.#tellWithoutToken(stored, ended);
    return stored;
  }

  /** Once, and again after it was otherwise: a node may be like this for weeks. */
  #tellWithoutToken(stored: Credentials | undefined, ended: boolean): void {
    const expired = "the node's certificate has expired: give it a new join token";
    const missing = "this node has neither a certificate nor a token: it stays offline until it gets one";
    const complaint = stored ? (ended ? expired : undefined) : missing;
    if (complaint !== undefined && complaint !== this.#complaint)
      this.#parts.log.error(complaint, { file: this.#files.cert });
    this.#complaint = complaint;
  }

  /** The cloud does not accept the certificate: a token that was not used yet may get another one. */
  refused(): void {
    this.#isRefused = true;
  }

  #fixed(): Credentials {
    const stored = readCredentials(this.#files);
    if (stored) return stored;
    throw new ConfigError(
      "certificate-file",
      `${findMissing(this.#files) ?? "a certificate file is missing"}; put the file there, or leave certfile and keyfile empty to join with a token`,
    );
  }

  #isWanting(token: string, stored: Credentials): boolean {
    return !this.#isFor(token, stored) || (this.#isRefused && !this.#joining.isSpent(token));
  }

  /** With a token at hand, files that are damaged are as good as none. */
  #read(mayReplace: boolean): Credentials | undefined {
    try {
      return readCredentials(this.#files);
    } catch (error) {
      if (!mayReplace || this.#files.fixed) throw error;
      this.#parts.log.error("the node's certificate is damaged, joining again", {
        error: describeError(error),
      });
      return undefined;
    }
  }

  async #enrol(token: string): Promise<Credentials> {
    const key = this.#joining.keyFor(token, this.#config.nodeName);
    const got = await enrol(this.#to, token, key);
    writeCredentials(this.#files, got);
    this.#joining.finish(token);
    this.#isRefused = false;
    this.#parts.log.info("got a certificate", { ends: new Date(lifeOf(got.cert).endMs).toISOString() });
    return got;
  }

  /** The token is for another cloud, or the node has another name now; an old token must not cost a good certificate. */
  async #replace(token: string, stored: Credentials): Promise<Credentials> {
    try {
      return await this.#enrol(token);
    } catch (error) {
      this.#parts.log.warn(
        "cannot replace the certificate that is refused or of another node or cloud: using it",
        {
          error: describeError(error),
        },
      );
      return stored;
    }
  }

  #isFor(token: string, { ca, cert }: Credentials): boolean {
    const der = fromPem(ca);
    const pin = splitToken(token)?.fingerprint;
    if (pin !== undefined && der !== undefined && fingerprintOf(der) !== pin) return false;
    const { commonName } = readCertificate(cert);
    return !commonName.startsWith("system:node:") || commonName === `system:node:${this.#config.nodeName}`;
  }

  /** Renews the certificate when its share of life is over; after a failure it is tried again, more and more seldom. */
  async renewWhenDue(): Promise<void> {
    const { log, clock, onRenewed } = this.#parts;
    if (this.#renewing || clock.monotonicMs() < this.#lookAgainMs) return;
    this.#renewing = true;
    try {
      const stored = readCredentials(this.#files);
      if (!stored) return;
      const { startMs, endMs } = lifeOf(stored.cert);
      const now = clock.nowMs();
      if (now < startMs + (endMs - startMs) * this.#share || now >= endMs) return;
      const got = await renew(this.#to, stored);
      writeCredentials(this.#files, got);
      this.#failures = 0;
      log.info("renewed the certificate", { ends: new Date(lifeOf(got.cert).endMs).toISOString() });
      onRenewed();
    } catch (error) {
      this.#failures += 1;
      const waitMs = Math.min(longestWaitMs, lookEveryMs * 2 ** Math.min(this.#failures - 1, 10));
      this.#lookAgainMs = clock.monotonicMs() + waitMs;
      log.warn("cannot renew the certificate, trying again", {
        error: describeError(error),
        minutes: Math.round(waitMs / 60_000),
      });
    } finally {
      this.#renewing = false;
    }
  }

  [Symbol.dispose](): void {
    this.#looking?.[Symbol.dispose]();
  }
}
