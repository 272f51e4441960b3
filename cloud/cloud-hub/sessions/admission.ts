import { STATUS_CODES, type IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { hasStreams, nodeDatabaseOf } from "#cloud/cloud-hub/codec";
import {
  isNodeName,
  nodeOfRequest,
  peerOf,
  refusePeer,
  type NodeGate,
  type PeerCertificate,
} from "#cloud/cloud-hub/node-access";
import type { Clock } from "#shared/clock";
import { RateLimitedLog, type Logger } from "#shared/log";
import type { RunningEdgecore } from "./duplicates.ts";

/** A node that is refused must not try again at once. */
const refusedRetrySeconds = 60;

/** A connection that may become the session of a node. */
export interface AdmittedPeer extends RunningEdgecore {
  readonly node: string;
  readonly peer: PeerCertificate;
  /** Whether its edgecore has byte streams. */
  readonly streams: boolean;
}

/** Why a request does not become a session, as an HTTP answer. */
export interface RefusedUpgrade {
  readonly code: number;
  readonly text: string;
  readonly retryAfterSeconds?: number;
}

export interface ConnectionAdmissionOptions {
  readonly gate: NodeGate;
  readonly sharedCertificate: boolean;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Decides by name, certificate and record who may connect as which node. */
export class ConnectionAdmission {
  readonly #options: ConnectionAdmissionOptions;
  readonly #seldom: RateLimitedLog;

  constructor(options: ConnectionAdmissionOptions) {
    this.#options = options;
    this.#seldom = new RateLimitedLog(options.log, options.clock);
  }

  /** Decides about a request without taking it over. @param header that names the node */
  async judge(request: IncomingMessage, header = "node_id"): Promise<AdmittedPeer | RefusedUpgrade> {
    const found = this.#read(request, header);
    const refused = "code" in found ? found : await this.#refuseKnown(found);
    if (!refused) return found;
    this.warn(request, refused);
    return refused;
  }

  warn(request: IncomingMessage, { text }: RefusedUpgrade): void {
    const fields = { reason: text, address: request.socket.remoteAddress };
    this.#seldom.warn("refused a connection", fields, text);
  }

  #read(request: IncomingMessage, header: string): AdmittedPeer | RefusedUpgrade {
    const node = nodeOfRequest(request.headers[header], request.url);
    if (!isNodeName(node))
      return { code: 400, text: `expected the node's name, a lower-case DNS name, in header ${header}` };
    const peer = peerOf(request.socket);
    if (!peer) return { code: 401, text: "expected a client certificate" };
    const fault = refusePeer(peer, node, this.#options.sharedCertificate);
    if (fault !== undefined) return { code: 403, text: fault, retryAfterSeconds: refusedRetrySeconds };
    const address = `${request.socket.remoteAddress ?? "an unknown address"}:${request.socket.remotePort ?? 0}`;
    const { headers } = request;
    return {
      node,
      peer,
      address,
      serial: peer.shown.serial,
      database: nodeDatabaseOf(headers),
      streams: hasStreams(headers),
    };
  }

  async #refuseKnown({ node, peer }: AdmittedPeer): Promise<RefusedUpgrade | undefined> {
    const refusal = await this.#options.gate.admit(node, peer.shown);
    return refusal && { code: 403, text: refusal.text, retryAfterSeconds: refusedRetrySeconds };
  }
}

/** Answers a request that wanted to become a WebSocket, and closes its connection. */
export function refuseUpgrade(socket: Duplex, { code, text, retryAfterSeconds }: RefusedUpgrade): void {
  const body = `${text}\n`;
  const retry = retryAfterSeconds === undefined ? "" : `Retry-After: ${retryAfterSeconds}\r\n`;
  socket.end(
    `HTTP/1.1 ${code} ${STATUS_CODES[code] ?? "Refused"}\r\nConnection: close\r\n${retry}` +
      `Content-Type: text/plain; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}
