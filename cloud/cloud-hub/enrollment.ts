import type { IncomingMessage, ServerResponse } from "node:http";
import type { CloudCertificates } from "#cloud/cloud-hub/certificates";
import {
  EnrollmentRefused,
  isNodeName,
  isTrusted,
  Limiter,
  peerOf,
  refusePeer,
  type Enrolling,
  type PeerCertificate,
  type PresentedToken,
  type WantedCertificate,
} from "#cloud/cloud-hub/node-access";
import { KubeError } from "#cloud/kube-client";
import type { Clock } from "#shared/clock";
import { describeError, ProtocolError, UnavailableError } from "#shared/errors";
import { RateLimitedLog, type Logger } from "#shared/log";
import { fromPem, inspectToken, type Authority, type SignedRequest, type TokenVerdict } from "#shared/pki";

/** A request for RSA of 8192 bits has 3 KiB. */
const maxBodyBytes = 64 * 1024;
/** Refusals a minute: of one address with bad tokens, of one token, and renewals of one node. */
const most = { address: 10, token: 30, node: 10 } as const;
/** Retry-After: of an API that is down, and of a refusal, which only an operator changes. */
const apiRetrySeconds = 10;
const refusedRetrySeconds = 30;

export interface EnrollmentOptions {
  /** Those in use now. */
  readonly certificates: () => CloudCertificates;
  readonly edgeCertDays: number;
  readonly sharedCertificate: boolean;
  readonly enrolling: Enrolling;
  readonly clock: Pick<Clock, "nowMs" | "monotonicMs">;
  readonly log: Logger;
}

const create = "print another one in the cloud: cloudcore token create";
const tokenRefusals: Readonly<Record<Exclude<TokenVerdict, "valid">, string>> = {
  expired: `join token: expired; ${create}`,
  malformed: `join token: malformed; ${create}`,
  "bad-signature": `join token: not made by this cloud; ${create}`,
};

interface HttpAnswer {
  readonly code: number;
  readonly body: string | Uint8Array;
  readonly retryAfterSeconds?: number;
}

type Requester =
  | { readonly kind: "token"; readonly presented: PresentedToken }
  | { readonly kind: "peer"; readonly peer: PeerCertificate };

/** Serves `/ca.crt` and `/edge.crt` (KubeEdge's cloudhub/servers/httpserver). What is cheap to check is checked first. */
export class EnrollmentEndpoint {
  readonly #options: EnrollmentOptions;
  readonly #addresses: Limiter;
  readonly #tokens: Limiter;
  readonly #nodes: Limiter;
  readonly #seldom: RateLimitedLog;

  constructor(options: EnrollmentOptions) {
    const { clock, log } = options;
    this.#options = options;
    this.#addresses = new Limiter(clock, most.address);
    this.#tokens = new Limiter(clock, most.token);
    this.#nodes = new Limiter(clock, most.node);
    this.#seldom = new RateLimitedLog(log, clock);
  }

  async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { code, body, retryAfterSeconds } = await this.#answer(request);
    const bytes = Buffer.from(body);
    response.writeHead(code, {
      "content-type": typeof body === "string" ? "text/plain; charset=utf-8" : "application/octet-stream",
      "content-length": bytes.length,
      // One request a connection: nothing can hide behind the first.
      connection: "close",
      ...(retryAfterSeconds !== undefined && { "retry-after": String(retryAfterSeconds) }),
    });
    response.end(bytes);
  }

  async #answer(request: IncomingMessage): Promise<HttpAnswer> {
    try {
      return await this.#decide(request);
    } catch (error) {
      return this.#explain(error, request);
    }
  }

  #explain(error: unknown, request: IncomingMessage): HttpAnswer {
    const node = String(request.headers["nodename"]);
    if (error instanceof EnrollmentRefused) {
      this.#seldom.warn("refused a certificate to a node", { node, reason: error.message }, node);
      return { ...refusal(error.httpStatus, error.message), retryAfterSeconds: refusedRetrySeconds };
    }
    if (error instanceof ProtocolError) return refusal(400, error.message);
    this.#seldom.warn("a certificate request failed", { node, error: describeError(error) });
    const isApi = error instanceof KubeError || error instanceof UnavailableError;
    const why = `${isApi ? "the Kubernetes API is not available; " : ""}see the log of cloudcore`;
    return {
      code: isApi ? 503 : 500,
      body: `the certificate could not be issued: ${why}\n`,
      retryAfterSeconds: apiRetrySeconds,
    };
  }

  async #decide(request: IncomingMessage): Promise<HttpAnswer> {
    const path = (request.url ?? "").split("?")[0];
    if (path !== "/ca.crt" && path !== "/edge.crt") return refusal(404, "not found");
    if (request.method !== "GET") return refusal(405, "only GET is served here");
    if (path === "/edge.crt") return this.#issue(request);
    const der = fromPem(this.#options.certificates().caPem);
    return der ? { code: 200, body: der } : refusal(500, "the CA certificate is not PEM");
  }

  async #issue(request: IncomingMessage): Promise<HttpAnswer> {
    const { authority } = this.#options.certificates();
    if (!authority) return refusal(503, "this CA issues no certificates: cloudhub.ca-key is not set");
    const early = refuseEarly(authority, this.#options.clock.nowMs());
    if (early) return early;
    const node = request.headers["nodename"];
    if (typeof node !== "string" || !isNodeName(node))
      return refusal(400, "header NodeName: expected a lower-case DNS name");
    const who = this.#identify(authority, request, node);
    if ("code" in who) return who;
    const body = bodyOf(request);
    const wanted = this.#wanted(authority, node, body);
    const { enrolling, edgeCertDays, log } = this.#options;
    try {
      const signed =
        who.kind === "peer"
          ? await enrolling.byCertificate(who.peer.shown, wanted)
          : await enrolling.byToken(who.presented, wanted);
      log.info("issued a certificate to a node", {
        node,
        serial: signed.serial,
        days: edgeCertDays,
        ...(who.kind === "peer" ? { renewedFrom: who.peer.shown.serial } : { token: who.presented.id }),
      });
      return { code: 200, body: signed.der };
    } catch (error) {
      if (error instanceof TooLong)
        return refusal(413, `certificate request: more than ${maxBodyBytes / 1024} KiB`);
      if (who.kind === "token") this.#tokens.count(who.presented.id);
      throw error;
    }
  }

  #wanted(authority: Authority, node: string, body: () => Promise<Uint8Array>): WantedCertificate {
    const { clock, edgeCertDays } = this.#options;
    const subject = { commonName: `system:node:${node}`, organizations: ["system:nodes"] };
    return {
      node,
      ca: authority.fingerprint,
      open: async () => authority.openRequest(await body()),
      sign: (opened): Promise<SignedRequest> =>
        opened.sign({ subject, days: edgeCertDays, nowMs: clock.nowMs() }),
    };
  }

  /** A certificate decides alone when there is one (renewal); otherwise the token does. */
  #identify(authority: Authority, request: IncomingMessage, node: string): Requester | HttpAnswer {
    const address = addressOf(request);
    const peer = peerOf(request.socket);
    const bad = peer ? this.#refusePeer(peer, node) : this.#refuseToken(authority, request);
    if (typeof bad !== "string") {
      const wait = peer ? this.#nodes.waitOf(node) : undefined;
      if (peer) this.#nodes.count(node);
      return wait === undefined ? bad : tooMany(wait);
    }
    const wait = this.#addresses.waitOf(address);
    this.#addresses.count(address);
    this.#seldom.warn("refused a certificate request", { node, address, reason: bad }, address);
    return wait === undefined
      ? { ...refusal(401, bad), retryAfterSeconds: refusedRetrySeconds }
      : tooMany(wait);
  }

  #refusePeer(peer: PeerCertificate, node: string): Requester | string {
    const { certificates, clock, sharedCertificate } = this.#options;
    if (!isTrusted(peer, certificates().caPem, clock.nowMs()))
      return "client certificate: expired or not issued by this cloud's CA";
    return refusePeer(peer, node, sharedCertificate) ?? { kind: "peer", peer };
  }

  #refuseToken(authority: Authority, request: IncomingMessage): Requester | HttpAnswer | string {
    const [scheme, jwt, ...rest] = (request.headers.authorization ?? "").split(" ");
    if (scheme !== "Bearer" || !jwt || rest.length > 0)
      return "join token: expected the header Authorization: Bearer <token>";
    const { verdict, id } = inspectToken(jwt, authority.keyPem, this.#options.clock.nowMs());
    if (verdict !== "valid") return tokenRefusals[verdict];
    if (id === undefined)
      return `join token: made by KubeEdge or an older cloudcore, whose tokens can be neither counted nor revoked; ${create}`;
    const wait = this.#tokens.waitOf(id);
    return wait === undefined ? { kind: "token", presented: { id, jwt } } : tooMany(wait);
  }
}

/** A wrong clock would issue certificates that have expired once it is right, and spend tokens on them. */
function refuseEarly({ notBeforeMs }: Authority, nowMs: number): HttpAnswer | undefined {
  if (nowMs >= notBeforeMs) return undefined;
  const [now, start] = [nowMs, notBeforeMs].map((ms) => new Date(ms).toISOString().slice(0, 19));
  const text = `the clock of cloudcore shows ${now}Z, and its CA is valid from ${start}Z on: set the clock`;
  return { ...refusal(503, text), retryAfterSeconds: refusedRetrySeconds };
}

function refusal(code: number, text: string): HttpAnswer {
  return { code, body: `${text}\n` };
}

function tooMany(seconds: number): HttpAnswer {
  return { ...refusal(429, `too many requests, try again in ${seconds} s`), retryAfterSeconds: seconds };
}

class TooLong extends Error {}

/** Read when it is needed, once. */
function bodyOf(request: IncomingMessage): () => Promise<Uint8Array> {
  return async () => {
    const parts: Buffer[] = [];
    let size = 0;
    // Without an encoding a stream of node:http yields buffers; its types say any.
    for await (const part of request as AsyncIterable<Buffer>) {
      size += part.length;
      if (size > maxBodyBytes) throw new TooLong();
      parts.push(part);
    }
    return new Uint8Array(Buffer.concat(parts));
  };
}

/** An IPv6 address counts as its /64 prefix: a host may use any address in it. */
function addressOf(request: IncomingMessage): string {
  const address = (request.socket.remoteAddress ?? "").replace(/^::ffff:(?=\d+\.)/, "");
  if (!address.includes(":")) return address;
  const [head = "", tail] = address.split("::");
  const front = head.split(":").filter(Boolean);
  const back = (tail ?? "").split(":").filter(Boolean);
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - front.length - back.length);
  return [...front, ...Array<string>(zeros).fill("0"), ...back].slice(0, 4).join(":");
}
