import { connect, type Socket } from "node:net";
import { WebSocket } from "ws";
import type { KeyPair } from "#shared/pki";
import type { Harness } from "#internal/test/cloud/cloud-hub/hub-harness.ts";

/** A message of the tunnel as KubeEdge 1.15 reads and writes it: two uvarints and bytes. */
export interface TunnelMessage {
  readonly id: number;
  readonly type: number;
  readonly bytes: Buffer;
}

/** What edgestream sends at a time. */
const pieceBytes = 256;

/** The edgestream of KubeEdge 1.15: dials the kubelet for connections of type 1, and passes bytes on as they are. */
export class KubeEdgeTunnel implements AsyncDisposable {
  readonly opened: Promise<void>;
  readonly closed: Promise<number>;
  /** Everything that came, in order. */
  readonly got: TunnelMessage[] = [];
  /** The reason with which the cloud ended the tunnel. */
  endedFor: string | undefined;
  readonly #socket: WebSocket;
  readonly #kubelet: string;
  readonly #connections = new Map<number, Socket>();
  readonly #waiting = new Set<() => void>();

  constructor(
    { hub, authority }: Pick<Harness, "hub" | "authority">,
    pair: Partial<KeyPair>,
    { node, kubelet = "" }: { readonly node: string; readonly kubelet?: string },
  ) {
    this.#kubelet = kubelet;
    this.#socket = new WebSocket(`wss://127.0.0.1:${hub.tunnelPort}/v1/kubeedge/connect`, {
      ca: authority.certPem,
      ...(pair.cert !== undefined && { cert: pair.cert, key: pair.key ?? "" }),
      headers: { SessionHostNameOverride: node, SessionInternalIP: "10.0.0.5" },
      perMessageDeflate: false,
      skipUTF8Validation: true,
    });
    this.#socket.on("message", (data: Buffer) => this.#receive(data));
    this.opened = new Promise((resolve, reject) => {
      this.#socket.once("open", () => resolve());
      this.#socket.once("error", (error) => reject(error));
    });
    this.opened.catch(() => undefined);
    this.closed = new Promise((resolve) => void this.#socket.once("close", (code) => resolve(code)));
    this.#socket.on("error", () => undefined);
  }

  send(id: number, type: number, bytes: Uint8Array = new Uint8Array(), binary = false): void {
    this.#socket.send(Buffer.concat([uvarint(id), uvarint(type), bytes]), { binary });
  }

  raw(bytes: Uint8Array): void {
    this.#socket.send(bytes, { binary: false });
  }

  /** The first message of a type that comes, or has come. */
  async next(type: number): Promise<TunnelMessage> {
    for (;;) {
      const found = this.got.find((one) => one.type === type);
      if (found) return found;
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#connections.values()) socket.destroy();
    this.#socket.terminate();
    await this.closed;
  }

  #receive(data: Buffer): void {
    const [id, at] = readUvarint(data, 0);
    const [type, end] = readUvarint(data, at);
    const message = { id, type, bytes: data.subarray(end) };
    this.got.push(message);
    if (type === 5) this.endedFor = message.bytes.toString();
    else if (type === 1) this.#dial(message);
    else if (type === 3) this.#connections.get(id)?.write(message.bytes);
    else if (type === 4) this.#connections.get(id)?.destroy();
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }

  #dial({ id, bytes }: TunnelMessage): void {
    if (this.#kubelet === "") return;
    const { url, header, method, MessID } = JSON.parse(bytes.toString()) as Connect;
    if (MessID !== id) throw new Error(`message ${id} has the id ${MessID} within`);
    const socket = connect(this.#kubelet);
    this.#connections.set(id, socket);
    const path =
      (url.RawPath === "" ? encodeURI(url.Path) : url.RawPath) +
      (url.RawQuery === "" ? "" : `?${url.RawQuery}`);
    const fields = Object.entries(header).flatMap(([name, values]) =>
      values.map((value) => `${name}: ${value}\r\n`),
    );
    socket.write(
      `${method} ${path} HTTP/1.1\r\nHost: ${url.Host}\r\nUser-Agent: Go-http-client/1.1\r\n${fields.join("")}\r\n`,
    );
    socket.on("data", (data: Buffer) => {
      for (let from = 0; from < data.length; from += pieceBytes)
        this.send(id, 3, data.subarray(from, from + pieceBytes));
    });
    socket.on("error", () => undefined);
    socket.on("close", () => {
      this.#connections.delete(id);
      if (this.#socket.readyState === WebSocket.OPEN) this.send(id, 4);
    });
  }
}

interface Connect {
  readonly MessID: number;
  readonly method: string;
  readonly url: {
    readonly Host: string;
    readonly Path: string;
    readonly RawPath: string;
    readonly RawQuery: string;
  };
  readonly header: Readonly<Record<string, readonly string[]>>;
}

function uvarint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = BigInt(value);
  while (rest >= 128n) {
    bytes.push(Number(rest & 127n) | 128);
    rest >>= 7n;
  }
  return Buffer.from([...bytes, Number(rest)]);
}

function readUvarint(bytes: Buffer, start: number): [value: number, end: number] {
  let value = 0n;
  for (let at = start, shift = 0n; ; at += 1, shift += 7n) {
    const byte = bytes[at] ?? 0;
    value |= BigInt(byte & 127) << shift;
    if (byte < 128) return [Number(value), at + 1];
  }
}
