import { createServer, type Server } from "node:https";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { TLSSocket } from "node:tls";
import { WebSocketServer, type WebSocket } from "ws";
import { answersAllHeader, decode, type WireMessage } from "#shared/wire";
import { createAuthority, createToken, identifyCertificate, inspectToken, type Authority } from "#shared/pki";

/** A cloud that does what a test wants: a real TLS server with enrollment and the WebSocket on one port. */
export class ScriptedCloud implements AsyncDisposable {
  readonly ca: Authority;
  readonly port: number;
  readonly received: WireMessage[] = [];
  readonly handshakes: IncomingMessage["headers"][] = [];
  readonly enrollments: { readonly node: string | undefined; readonly byCertificate: boolean }[] = [];
  /** What to answer to each message; nothing by default. */
  onMessage: (message: WireMessage, socket: WebSocket) => void = () => undefined;
  /** Whether it promises to answer every message. */
  answersAll = false;
  /** Hash of the public key of each request it signed. */
  readonly keys: string[] = [];
  /** For this many requests the certificate is signed and the answer lost. */
  loseAnswers = 0;
  /** A raw answer to the next handshake instead of an upgrade. */
  refuseNext: string | undefined;
  #sockets = new Set<WebSocket>();
  #changed = Promise.withResolvers<void>();
  readonly #server: Server;

  constructor(ca: Authority, server: Server) {
    this.ca = ca;
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
    const sockets = new WebSocketServer({ noServer: true });
    sockets.on("headers", (headers) => this.answersAll && headers.push(`${answersAllHeader}: true`));
    server.on("request", (request, response) => void this.#serve(request, response));
    server.on("upgrade", (request, socket, head) => {
      this.handshakes.push(request.headers);
      if (this.refuseNext !== undefined) {
        socket.end(this.refuseNext);
        this.refuseNext = undefined;
        this.#wake();
        return;
      }
      sockets.handleUpgrade(request, socket, head, (peer) => this.#greet(peer));
    });
  }

  static async start(hosts: readonly string[] = ["127.0.0.1"]): Promise<ScriptedCloud> {
    const nowMs = Date.now();
    const ca = await createAuthority({ commonName: "KubeEdge", days: 1, nowMs });
    const pair = await ca.issue({ subject: { commonName: "cloud" }, hosts, usage: "server", days: 1, nowMs });
    const server = createServer({ ...pair, ca: ca.certPem, requestCert: true, rejectUnauthorized: false });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new ScriptedCloud(ca, server);
  }

  token(expiresMs = Date.now() + 60_000): string {
    return createToken(this.ca, expiresMs);
  }

  send(message: WireMessage): void {
    for (const socket of this.#sockets) socket.send(JSON.stringify(message));
  }

  sendBinary(frame: Uint8Array): void {
    for (const socket of this.#sockets) socket.send(frame);
  }

  hangUp(code = 1005, reason = ""): void {
    for (const socket of this.#sockets) {
      if (code === 1005) socket.close();
      else socket.close(code, reason);
    }
  }

  get connections(): number {
    return this.#sockets.size;
  }

  /** Resolves once `test` holds; looked at whenever something arrives. */
  async until(test: () => boolean): Promise<void> {
    while (!test()) await this.#changed.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.terminate();
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #greet(peer: WebSocket): void {
    this.#sockets.add(peer);
    peer.on("close", () => {
      this.#sockets.delete(peer);
      this.#wake();
    });
    peer.on("message", (data) => {
      const decoded = decode(Buffer.from(data as Buffer).toString("utf8"));
      if (!decoded.ok) throw new Error(decoded.reason);
      this.received.push(decoded.message);
      this.onMessage(decoded.message, peer);
      this.#wake();
    });
    this.#wake();
  }

  #wake(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.url === "/ca.crt") {
      response.end(Buffer.from(this.ca.certDer));
      return;
    }
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const jwt = (request.headers.authorization ?? "").replace("Bearer ", "");
    const { verdict } = inspectToken(jwt, this.ca.keyPem, Date.now());
    const byCertificate = (request.socket as TLSSocket).authorized;
    if (verdict !== "valid" && !byCertificate) {
      response.writeHead(401).end(`Invalid authorization token: ${verdict}`);
      return;
    }
    const node = String(request.headers["nodename"]);
    this.enrollments.push({ node, byCertificate });
    const der = await this.ca.signRequest(Buffer.concat(chunks), {
      subject: { commonName: `system:node:${node}`, organizations: ["system:nodes"] },
      days: 1,
      nowMs: Date.now(),
    });
    this.keys.push(identifyCertificate(der).keyHash);
    if (this.loseAnswers > 0) {
      this.loseAnswers -= 1;
      request.socket.destroy();
      return;
    }
    response.end(Buffer.from(der));
  }
}
