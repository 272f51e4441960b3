import type { Clock } from "#shared/clock";
import { ClosedError } from "#shared/errors";
import { connectionOfTransport, type UpgradeOffer } from "#shared/upgrades";
import type { ConnectPort } from "./port-client.ts";
import type { ProcessClient, ProcessStreams } from "./process-client.ts";
import { SpdyProcess } from "./spdy-process.ts";
import { forwardOverSpdy } from "./spdy-forward.ts";
import { sendLog } from "./log-client.ts";
import { forwardFormOf, logFormOf, processFormOf } from "./subprotocols.ts";
import { forwardOverChannels } from "./web-socket-forward.ts";
import { WebSocketProcess } from "./web-socket-process.ts";

/** What a client asked for that nobody here speaks, to be answered with 403. */
export interface NoProtocol {
  readonly refusal: string;
}

/** Accepts the offer. @throws ClosedError when the client does not go on */
export type AcceptProcess = () => Promise<ProcessClient>;

/** Accepts the offer, and forwards until the client leaves. Never rejects. */
export type AcceptForward = (ports: readonly number[], connect: ConnectPort) => Promise<void>;

/** Accepts the offer, and sends the log until it ends or the client leaves. Never rejects. */
export type AcceptLog = (log: ReadableStream<Uint8Array>) => Promise<void>;

/** The header by which clients of SPDY name what they speak on it. */
export const versionHeader = "x-stream-protocol-version";

const spdyProcess = "v4.channel.k8s.io";
const spdyForward = "portforward.k8s.io";

/** How exec and attach go on with this client. */
export function processProtocolOf(
  offer: UpgradeOffer,
  headers: Headers,
  { streams, clock }: { readonly streams: ProcessStreams; readonly clock: Clock },
): AcceptProcess | NoProtocol {
  if (offer.protocol === "spdy/3.1") {
    if (!versionsOf(headers).includes(spdyProcess)) return noVersion(headers, spdyProcess);
    return () => SpdyProcess.accept(offer.toConnection(spdyAnswer(spdyProcess)), streams, clock);
  }
  if (offer.protocol !== "websocket") return noUpgrade(offer);
  const form = processFormOf(offer.subprotocols);
  if (!form) return noSubprotocol(offer);
  return async () => {
    const transport = offer.toWebSocket(form.name);
    if (!transport) throw new ClosedError("the handshake of the WebSocket is not valid");
    const client = new WebSocketProcess(transport, form, streams);
    await client.greet(streams);
    return client;
  };
}

/** How port-forward goes on with this client. */
export function forwardProtocolOf(
  offer: UpgradeOffer,
  headers: Headers,
  clock: Clock,
): AcceptForward | NoProtocol {
  if (offer.protocol === "spdy/3.1") {
    if (!versionsOf(headers).includes(spdyForward)) return noVersion(headers, spdyForward);
    return (_ports, connect) => forwardOverSpdy(offer.toConnection(spdyAnswer(spdyForward)), connect, clock);
  }
  if (offer.protocol !== "websocket") return noUpgrade(offer);
  const form = forwardFormOf(offer.subprotocols);
  if (!form) return noSubprotocol(offer);
  return async (ports, connect) => {
    const transport = offer.toWebSocket(form.name);
    if (!transport) return;
    if (form.isTunnel) await forwardOverSpdy(connectionOfTransport(transport), connect, clock);
    else await forwardOverChannels(transport, { ports, isBase64: form.isBase64 }, connect);
  };
}

/** How a log goes on with this client; undefined: in the body of an answer, as for any other offer. */
export function logProtocolOf(offer: UpgradeOffer | undefined): AcceptLog | NoProtocol | undefined {
  if (offer?.protocol !== "websocket") return undefined;
  const form = logFormOf(offer.subprotocols);
  if (!form) return noSubprotocol(offer, "binary.k8s.io base64.binary.k8s.io");
  return async (log) => {
    const transport = offer.toWebSocket(form.name);
    if (transport) await sendLog(transport, log, form.isBase64);
    else await log.cancel("the handshake of the WebSocket is not valid");
  };
}

function versionsOf(headers: Headers): string[] {
  return (headers.get(versionHeader) ?? "").split(",").map((one) => one.trim());
}

function spdyAnswer(version: string): Record<string, string> {
  return { Connection: "Upgrade", Upgrade: "SPDY/3.1", "X-Stream-Protocol-Version": version };
}

function noVersion(headers: Headers, accepted: string): NoProtocol {
  return noneOf(versionsOf(headers).join(" "), accepted);
}

function noSubprotocol({ subprotocols }: UpgradeOffer, accepted = "the subprotocols of kubectl"): NoProtocol {
  return noneOf(subprotocols.join(" "), accepted);
}

function noUpgrade({ protocol }: UpgradeOffer): NoProtocol {
  return noneOf(protocol, "SPDY/3.1 websocket");
}

function noneOf(offered: string, accepted: string): NoProtocol {
  const text = `client supports [${offered}], server accepts [${accepted}]`;
  return { refusal: `unable to upgrade: unable to negotiate protocol: ${text}` };
}
