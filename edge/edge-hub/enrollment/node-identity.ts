import type { Clock } from "#shared/clock";
import { readJoinToken, type EdgeConfig } from "#shared/config";
import { ConfigError, describeError } from "#shared/errors";
import type { Logger } from "#shared/log";
import { fingerprintOf, fromPem, readCertificate, splitToken } from "#shared/pki";
import {
  certificateFiles,
  findMissing,
  readLinkCredentials,
  validityOf,
  writeLinkCredentials,
  type CertificateFiles,
  type LinkCredentials,
} from "./certificates.ts";
import { enroll, renew, type EnrollmentTarget } from "./enroll.ts";
import { Joining } from "./joining.ts";

export type IdentityConfig = Pick<EdgeConfig, "dataDir" | "nodeName" | "edgeHub">;

export interface IdentityParts {
  readonly clock: Clock;
  readonly log: Logger;
  /** There is a new certificate: dial with it. */
  readonly onRenewed: () => void;
}

/** Renewal is due weeks before the certificate expires: a minute is early enough, and failures may back off to an hour. */
const checkEveryMs = 60_000;
const longestRetryMs = 3_600_000;

/** The certificate of this node: read from disk, requested with the token when there is none, renewed before it expires. */
export class NodeIdentity implements Disposable {
  readonly #config: IdentityConfig;
  readonly #parts: IdentityParts;
  readonly #files: CertificateFiles;
  readonly #target: EnrollmentTarget;
  /** Share of its life after which a certificate is renewed: 0.7 to 0.9, so that nodes that joined together do not come together. */
  readonly #renewalShare: number;
  readonly #joining: Joining;
  #checking: Disposable | undefined;
  #isRenewing = false;
  #isRefused = false;
  #loggedProblem: string | undefined;
  #retryAtMs = 0;
  #failures = 0;

  constructor(config: IdentityConfig, parts: IdentityParts) {
    this.#config = config;
    this.#parts = parts;
    this.#files = certificateFiles(config);
    this.#joining = new Joining(config.dataDir);
    this.#target = {
      httpsUrl: config.edgeHub.httpsUrl,
      node: config.nodeName,
      timeoutMs: config.edgeHub.handshakeTimeoutMs,
    };
    this.#renewalShare = 0.7 + 0.2 * parts.clock.random();
  }

  start(): void {
    if (this.#files.fixed || !this.#config.edgeHub.rotateCertificates) return;
    this.#checking = this.#parts.clock.every(checkEveryMs, () => void this.renewWhenDue());
  }

  /**
   * @returns undefined when there is neither a certificate nor a token to get one with
   * @throws ConfigError when what the configuration names cannot be used
   */
  async credentials(): Promise<LinkCredentials | undefined> {
    if (this.#files.fixed) return this.#readFixed();
    const { clock } = this.#parts;
    const given = readJoinToken(this.#config.edgeHub);
    const token = given && "token" in given ? given.token : undefined;
    const stored = this.#read(token !== undefined);
    const expired = stored !== undefined && validityOf(stored.cert).endMs <= clock.nowMs();
    if (token !== undefined) {
      if (!stored || expired) return this.#enroll(token);
      return this.#needsReplacing(token, stored) ? this.#replace(token, stored) : stored;
    }
    if (!stored && given && "fault" in given)
      throw new ConfigError("token-file", `Cannot enroll: ${given.fault}`);
    this.#logProblem(stored, expired);
    return stored;
  }

  /** The cloud does not accept the certificate: a token that was not used yet may get another one. */
  refused(): void {
    this.#isRefused = true;
  }

  /** Renews the certificate when its share of life is over; after a failure it backs off up to an hour. */
  async renewWhenDue(): Promise<void> {
    const { clock, log } = this.#parts;
    if (this.#isRenewing || clock.monotonicMs() < this.#retryAtMs) return;
    this.#isRenewing = true;
    try {
      await this.#renewIfDue();
    } catch (error) {
      this.#failures += 1;
      const waitMs = Math.min(longestRetryMs, checkEveryMs * 2 ** Math.min(this.#failures - 1, 10));
      this.#retryAtMs = clock.monotonicMs() + waitMs;
      log.warn("cannot renew the certificate, retrying", {
        error: describeError(error),
        minutes: Math.round(waitMs / 60_000),
      });
    } finally {
      this.#isRenewing = false;
    }
  }

  [Symbol.dispose](): void {
    this.#checking?.[Symbol.dispose]();
  }

  async #renewIfDue(): Promise<void> {
    const { log, clock, onRenewed } = this.#parts;
    const stored = readLinkCredentials(this.#files);
    if (!stored) return;
    const { startMs, endMs } = validityOf(stored.cert);
    const now = clock.nowMs();
    if (now < startMs + (endMs - startMs) * this.#renewalShare || now >= endMs) return;
    const renewed = await renew(this.#target, stored);
    writeLinkCredentials(this.#files, renewed);
    this.#failures = 0;
    log.info("renewed the certificate", { ends: expiryOf(renewed) });
    onRenewed();
  }

  /** Logged once, and again after it was otherwise: a node may be in this state for weeks. */
  #logProblem(stored: LinkCredentials | undefined, expired: boolean): void {
    const expiredText = "the node's certificate has expired: give it a new join token";
    const missingText = "this node has neither a certificate nor a token: it stays offline until it gets one";
    const { clock } = this.#parts;
    const isEarly = stored !== undefined && validityOf(stored.cert).startMs > clock.nowMs();
    const earlyText =
      "the clock of this machine is earlier than the node's certificate: connecting is tried until the time is set";
    const problem = stored ? (expired ? expiredText : isEarly ? earlyText : undefined) : missingText;
    if (problem !== undefined && problem !== this.#loggedProblem)
      this.#parts.log.error(problem, { file: this.#files.cert });
    this.#loggedProblem = problem;
  }

  #readFixed(): LinkCredentials {
    const stored = readLinkCredentials(this.#files);
    if (stored) return stored;
    throw new ConfigError(
      "certificate-file",
      `${findMissing(this.#files) ?? "a certificate file is missing"}; put the file there, or leave certfile and keyfile empty to join with a token`,
    );
  }

  /** With a token at hand, damaged files count as none. */
  #read(mayReplace: boolean): LinkCredentials | undefined {
    try {
      return readLinkCredentials(this.#files);
    } catch (error) {
      if (!mayReplace || this.#files.fixed) throw error;
      this.#parts.log.error("the node's certificate is damaged, joining again", {
        error: describeError(error),
      });
      return undefined;
    }
  }

  async #enroll(token: string): Promise<LinkCredentials> {
    const key = this.#joining.keyFor(token, this.#config.nodeName);
    const issued = await enroll(this.#target, token, key);
    writeLinkCredentials(this.#files, issued);
    this.#joining.finish(token);
    this.#isRefused = false;
    this.#parts.log.info("got a certificate", { ends: expiryOf(issued) });
    return issued;
  }

  /** The token is for another cloud, or the node has another name now; an old token must not cost a good certificate. */
  async #replace(token: string, stored: LinkCredentials): Promise<LinkCredentials> {
    try {
      return await this.#enroll(token);
    } catch (error) {
      this.#parts.log.warn(
        "cannot replace a certificate that is refused or of another node or cloud, using it",
        {
          error: describeError(error),
        },
      );
      return stored;
    }
  }

  #needsReplacing(token: string, stored: LinkCredentials): boolean {
    return !this.#isFor(token, stored) || (this.#isRefused && !this.#joining.isSpent(token));
  }

  /** Whether the certificate is of the token's cloud and of this node. */
  #isFor(token: string, { ca, cert }: LinkCredentials): boolean {
    const der = fromPem(ca);
    const pin = splitToken(token)?.fingerprint;
    if (pin !== undefined && der !== undefined && fingerprintOf(der) !== pin) return false;
    const { commonName } = readCertificate(cert);
    return !commonName.startsWith("system:node:") || commonName === `system:node:${this.#config.nodeName}`;
  }
}

function expiryOf({ cert }: LinkCredentials): string {
  return new Date(validityOf(cert).endMs).toISOString();
}
