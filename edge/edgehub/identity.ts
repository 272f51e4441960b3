import type { Clock } from "#shared/clock";
import type { EdgeConfig } from "#shared/config";
import { describeError } from "#shared/errors";
import type { Logger } from "#shared/log";
import { fingerprintOf, fromPem, readCertificate, splitToken } from "#shared/pki";
import {
  certificateFiles,
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

/** The certificate this node shows: read from disk, got with the token when there is none, renewed before it ends. */
export class Identity implements Disposable {
  readonly #config: IdentityConfig;
  readonly #parts: Parts;
  readonly #files: CertificateFiles;
  readonly #to: Enrolment;
  readonly #share: number;
  #looking: Disposable | undefined;
  #renewing = false;

  constructor(config: IdentityConfig, parts: Parts) {
    this.#config = config;
    this.#parts = parts;
    this.#files = certificateFiles(config);
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

  /** @returns undefined when there is neither a certificate nor a token to get one with */
  async credentials(): Promise<Credentials | undefined> {
    const { log, clock } = this.#parts;
    const { token } = this.#config.edgeHub;
    const stored = readCredentials(this.#files);
    const ended = stored !== undefined && lifeOf(stored.cert).endMs <= clock.nowMs();
    const mayEnrol = !this.#files.fixed && token !== undefined;
    if (!mayEnrol) {
      if (ended)
        log.error("the node's certificate has ended: give a fresh token", { file: this.#files.cert });
      if (!stored)
        log.error("this node has neither a certificate nor a token: it stays offline", {
          file: this.#files.cert,
        });
      return stored;
    }
    if (!stored || ended) return this.#enrol(token);
    return this.#isFor(token, stored) ? stored : this.#replace(token, stored);
  }

  async #enrol(token: string): Promise<Credentials> {
    const got = await enrol(this.#to, token);
    writeCredentials(this.#files, got);
    this.#parts.log.info("got a certificate", { ends: new Date(lifeOf(got.cert).endMs).toISOString() });
    return got;
  }

  /** The token is for another cloud, or the node has another name now; an old token must not cost a good certificate. */
  async #replace(token: string, stored: Credentials): Promise<Credentials> {
    try {
      return await this.#enrol(token);
    } catch (error) {
      this.#parts.log.warn("cannot replace the certificate of another node or cloud: using it", {
        error: describeError(error),
      });
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

  /** Renews the certificate when its share of life is over; a failure is tried again at the next look. */
  async renewWhenDue(): Promise<void> {
    const { log, clock, onRenewed } = this.#parts;
    if (this.#renewing) return;
    this.#renewing = true;
    try {
      const stored = readCredentials(this.#files);
      if (!stored) return;
      const { startMs, endMs } = lifeOf(stored.cert);
      const now = clock.nowMs();
      if (now < startMs + (endMs - startMs) * this.#share || now >= endMs) return;
      const got = await renew(this.#to, stored);
      writeCredentials(this.#files, got);
      log.info("renewed the certificate", { ends: new Date(lifeOf(got.cert).endMs).toISOString() });
      onRenewed();
    } catch (error) {
      log.warn("cannot renew the certificate, trying again", { error: describeError(error) });
    } finally {
      this.#renewing = false;
    }
  }

  [Symbol.dispose](): void {
    this.#looking?.[Symbol.dispose]();
  }
}
