import type { Port } from "#shared/bus";
import { textPayload } from "#shared/bytes";
import { UnavailableError } from "#shared/errors";
import { fetchOver, type ByteStream, type RequestHead } from "#shared/streams";
import type { CloudCatalog, HeaderFields, ServiceReply } from "#shared/topics";

/** What sending to nodes asks on the bus. */
export type SendPort = Pick<
  Port<CloudCatalog, never, "rule.command" | "service.call" | "stream.open", never, never>,
  "ask"
>;

export interface ConnectedNodes {
  readonly isConnected: (node: string) => boolean;
  /** Whether it is connected with our edgecore. */
  readonly isOurs: (node: string) => boolean;
}

export interface NodeSenderOptions {
  readonly port: SendPort;
  readonly nodes: ConnectedNodes;
}

/** A request to a server on a node. */
export interface NodeCall {
  readonly node: string;
  readonly port: number;
  readonly method: string;
  readonly path: string;
  readonly headers: HeaderFields;
  /** until the head of the response */
  readonly timeoutMs: number;
}

/** KubeEdge's frames are messages of JSON with the body as base64: its router refuses more than 12 MiB of them. */
export const largestMessageBody = 8 * 1024 * 1024;

/** Sends to nodes that are connected; what cannot be sent rejects with UnavailableError. */
export class NodeSender {
  readonly #options: NodeSenderOptions;

  constructor(options: NodeSenderOptions) {
    this.#options = options;
  }

  /**
   * Publishes to the brokers of a node.
   * @returns whether the node confirmed it: those of KubeEdge do not
   * @throws UnavailableError also with code "not-text", when a node of KubeEdge cannot take the payload
   */
  async publish(
    node: string,
    message: { readonly topic: string; readonly payload: Uint8Array },
    options: { readonly timeoutMs: number; readonly signal?: AbortSignal },
  ): Promise<boolean> {
    this.#requireConnected(node);
    const { timeoutMs, signal } = options;
    const { text, bytes } = textPayload(message.payload);
    if (bytes && !this.canStream(node))
      throw new UnavailableError(
        "not-text",
        `the edgecore of node ${JSON.stringify(node)} publishes UTF-8 text only`,
      );
    const command = {
      operation: "publish",
      topic: message.topic,
      payload: text,
      ...(bytes && { bytes }),
    } as const;
    return this.#options.port.ask("rule.command", { node, command, timeoutMs }, { signal });
  }

  isConnected(node: string): boolean {
    return this.#options.nodes.isConnected(node);
  }

  /** Whether a call takes a body of any length as it comes. */
  canStream(node: string): boolean {
    return this.#options.nodes.isOurs(node);
  }

  /** A call over a stream: bodies pass through as they come. */
  async stream(
    call: NodeCall,
    body: ReadableStream<Uint8Array> | null,
    signal: AbortSignal,
  ): Promise<Response> {
    const { node, ...request } = call;
    this.#requireConnected(node);
    const head: RequestHead = { service: "service-bus", ...request };
    const stream = await this.#options.port.ask("stream.open", { node, head });
    return fetchOver(stream, body, signal);
  }

  /** A WebSocket: the bytes of the stream are those of the connection, from the answer of the server on. */
  async tunnel(call: NodeCall): Promise<ByteStream> {
    const { node, ...request } = call;
    this.#requireConnected(node);
    const head: RequestHead = { service: "service-bus", upgrade: "websocket", ...request };
    return this.#options.port.ask("stream.open", { node, head });
  }

  /** A call with a whole body. */
  async call(call: NodeCall, body: Uint8Array, signal: AbortSignal): Promise<Response> {
    const { node, timeoutMs, ...request } = call;
    this.#requireConnected(node);
    if (this.canStream(node)) return this.stream(call, streamOf(body), signal);
    const question = { node, call: { ...request, body }, timeoutMs };
    const reply = await this.#options.port.ask("service.call", question, { signal });
    requireWhole(request.method, reply);
    return toResponse(reply);
  }

  #requireConnected(node: string): void {
    if (!this.isConnected(node))
      throw new UnavailableError("not-connected", `node ${JSON.stringify(node)} is offline`);
  }
}

function streamOf(body: Uint8Array): ReadableStream<Uint8Array> | null {
  if (body.length === 0) return null;
  return new ReadableStream<Uint8Array>({
    start: (controller) => {
      // A copy: pieces are freed once they are sent, and this may be sent again.
      controller.enqueue(new Uint8Array(body));
      controller.close();
    },
  });
}

/** @throws UnavailableError when KubeEdge's edgecore cut the body, of which it sends 5,000,000 bytes at most */
function requireWhole(method: string, { status, headers, body }: ServiceReply): void {
  const [, length] = headers.find(([name]) => name.toLowerCase() === "content-length") ?? [];
  if (length === undefined || method === "HEAD" || isBare(status) || Number(length) <= body.length) return;
  const reason = `the node sent ${body.length} of ${length} bytes of the response`;
  throw new UnavailableError("response-cut", reason);
}

function isBare(status: number): boolean {
  return status === 204 || status === 205 || status === 304;
}

function toResponse({ status, headers, body }: ServiceReply): Response {
  return new Response(isBare(status) ? null : new Uint8Array(body), {
    status,
    headers: headers.map(([name, value]): [string, string] => [name, value]),
  });
}
