import type { IncomingMessage } from "node:http";
import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { WebSocketServer } from "ws";
import { WebSocketTransport, type FrameTransport } from "#shared/transport";
import type { Connection } from "./connection.ts";
import { connectionOfSocket } from "./socket-connection.ts";

/**
 * A request to go on in another protocol. Accept it once and at once, in the turn in which it is decided: nothing is read
 * in between.
 */
export interface UpgradeOffer {
  /** In lower case: "websocket", "spdy/3.1". */
  readonly protocol: string;
  /** The subprotocols that the client of a WebSocket offers, in its order. */
  readonly subprotocols: readonly string[];
  /** Whether it was accepted: the answer is written. */
  readonly isTaken: boolean;
  /** Settles when the client leaves before it was accepted. */
  readonly left: Promise<void>;
  /** Writes the handshake. @returns undefined when it is not a valid one, which is answered */
  toWebSocket(subprotocol: string | undefined): FrameTransport | undefined;
  /** Writes the answer 101 with these header fields. */
  toConnection(headers: Readonly<Record<string, string>>): Connection;
}

/** kubectl sends 32 KiB at a time; recipes for copying files with the Python client send a file in one message. */
const largestMessage = 4 * 1024 * 1024;
/** A client that vanished without a word is found by the operating system. */
const keepaliveMs = 60_000;

export function offerOf(request: IncomingMessage, socket: Duplex, head: Uint8Array): UpgradeOffer {
  const { headers } = request;
  const left = Promise.withResolvers<void>();
  socket.once("close", left.resolve);
  let isTaken = false;
  const take = (): void => {
    isTaken = true;
    if (!(socket instanceof Socket)) return;
    socket.setKeepAlive(true, keepaliveMs);
    socket.setNoDelay(true);
  };
  return {
    protocol: (headers.upgrade ?? "").toLowerCase(),
    subprotocols: (headers["sec-websocket-protocol"] ?? "")
      .split(",")
      .map((one) => one.trim())
      .filter((one) => one !== ""),
    get isTaken() {
      return isTaken;
    },
    left: left.promise,
    toWebSocket: (subprotocol) => {
      take();
      return webSocketOf(request, socket, head, subprotocol);
    },
    toConnection: (fields) => {
      take();
      const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
      socket.write(`HTTP/1.1 101 Switching Protocols\r\n${lines.join("")}\r\n`);
      return connectionOfSocket(socket, head);
    },
  };
}

function webSocketOf(
  request: IncomingMessage,
  socket: Duplex,
  head: Uint8Array,
  subprotocol: string | undefined,
): FrameTransport | undefined {
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: largestMessage,
    handleProtocols: () => subprotocol ?? false,
  });
  let transport: FrameTransport | undefined;
  server.handleUpgrade(request, socket, Buffer.from(head), (webSocket) => {
    transport = new WebSocketTransport(webSocket);
  });
  return transport;
}
