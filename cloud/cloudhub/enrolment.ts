import type { IncomingMessage, ServerResponse } from "node:http";
import type { Clock } from "#shared/clock";
import { ProtocolError } from "#shared/errors";
import type { Logger } from "#shared/log";
import { fromPem, verifyToken, type TokenVerdict } from "#shared/pki";
import type { CloudCertificates } from "./certificates.ts";
import { identify, isNodeName, isTrusted, peerOf, type Peer } from "./identity.ts";

const maxBodyBytes = 1024 * 1024;

export interface EnrolmentOptions {
  /** Those in use now. */
  readonly certificates: () => CloudCertificates;
  readonly edgeCertDays: number;
  readonly legacyIdentity: boolean;
  readonly clock: Pick<Clock, "nowMs">;
  readonly log: Logger;
}

const tokenRefusals: Readonly<Record<TokenVerdict, string | undefined>> = {
  valid: undefined,
  expired: "join token: expired, get a new one from cloudcore token",
  malformed: "join token: malformed",
  "bad-signature": "join token: not made by this cloud",
};

interface Answer {
  readonly code: number;
  readonly body: string | Uint8Array;
}

/** Serves `/ca.crt` and `/edge.crt`, the certificates nodes enrol with. */
export async function serveEnrolment(
  options: EnrolmentOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  let answer: Answer;
  try {
    answer = await decide(options, request);
  } catch (error) {
    if (error instanceof ProtocolError) answer = { code: 400, body: `${error.message}\n` };
    else {
      options.log.error("A certificate request failed", { error });
      answer = { code: 500, body: "the certificate could not be issued\n" };
    }
  }
  const type = typeof answer.body === "string" ? "text/plain; charset=utf-8" : "application/octet-stream";
  const body = Buffer.from(answer.body);
  const refused = answer.code >= 400;
  response.writeHead(answer.code, {
    "content-type": type,
    "content-length": body.length,
    ...(refused ? { connection: "close" } : {}),
  });
  response.end(body);
}

async function decide(options: EnrolmentOptions, request: IncomingMessage): Promise<Answer> {
  const path = (request.url ?? "").split("?")[0];
  if (path !== "/ca.crt" && path !== "/edge.crt") return { code: 404, body: "not found\n" };
  if (request.method !== "GET") return { code: 405, body: "only GET is served here\n" };
  if (path === "/ca.crt") {
    const der = fromPem(options.certificates().caPem);
    return der ? { code: 200, body: der } : { code: 500, body: "the CA certificate is not PEM\n" };
  }
  return sign(options, request);
}

async function sign(options: EnrolmentOptions, request: IncomingMessage): Promise<Answer> {
  const { authority } = options.certificates();
  if (!authority) return { code: 503, body: "this CA issues no certificates: cloudhub.ca-key is not set\n" };
  const node = request.headers["nodename"];
  if (typeof node !== "string" || !isNodeName(node))
    return { code: 400, body: "header NodeName: expected a lower-case DNS name\n" };
  const refusal = findRefusal(options, authority.keyPem, request);
  if (refusal !== undefined) {
    options.log.warn("Refused a certificate to a node", { node, reason: refusal });
    return { code: 401, body: `${refusal}\n` };
  }
  const body = await readBody(request);
  if (!body) return { code: 413, body: "certificate request: more than 1 MiB\n" };
  const der = await authority.signRequest(body, {
    subject: { commonName: `system:node:${node}`, organizations: ["system:nodes"] },
    days: options.edgeCertDays,
    nowMs: options.clock.nowMs(),
  });
  options.log.info("Issued a certificate to a node", { node, days: options.edgeCertDays });
  return { code: 200, body: der };
}

/** A certificate decides alone when there is one (renewal); otherwise the token does. */
function findRefusal(
  options: EnrolmentOptions,
  keyPem: string,
  request: IncomingMessage,
): string | undefined {
  const peer = peerOf(request.socket);
  if (peer) return refusalOfPeer(options, peer, String(request.headers["nodename"]));
  const [scheme, jwt, ...rest] = (request.headers.authorization ?? "").split(" ");
  if (scheme !== "Bearer" || !jwt || rest.length > 0)
    return "join token: expected the header Authorization: Bearer <token>";
  return tokenRefusals[verifyToken(jwt, keyPem, options.clock.nowMs())];
}

function refusalOfPeer(options: EnrolmentOptions, peer: Peer, node: string): string | undefined {
  if (!isTrusted(peer, options.certificates().caPem, options.clock.nowMs()))
    return "client certificate: expired or not issued by this cloud's CA";
  const identity = identify(peer, node);
  if (identity === "other" || (identity === "legacy" && !options.legacyIdentity))
    return "client certificate: issued to another node";
  return undefined;
}

async function readBody(request: IncomingMessage): Promise<Uint8Array | undefined> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    size += part.length;
    if (size > maxBodyBytes) return undefined;
    parts.push(part);
  }
  return new Uint8Array(Buffer.concat(parts));
}
