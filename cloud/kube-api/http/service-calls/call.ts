import type { IncomingMessage } from "node:http";
import { request as requestOverTls } from "node:https";
import { isIP } from "node:net";
import type { Duplex, Writable } from "node:stream";
import { asError, errorCodeOf } from "#shared/errors";
import type { Destination, ServicePod } from "./destination.ts";

type HeaderField = readonly [name: string, value: string];

export interface ServiceCall {
  readonly method: string;
  /** with its query */
  readonly path: string;
  /** Those of the same name are sent one by one: servers of Kubernetes do not split a value at its commas. */
  readonly headers: readonly HeaderField[];
  readonly body: ReadableStream<Uint8Array> | string | null;
  readonly signal: AbortSignal;
}

/** Whom the call trusts, and as whom it is made. */
export interface Trust {
  /** PEM; the CAs of the system without */
  readonly ca?: string | undefined;
  readonly insecure?: boolean | undefined;
  /** A client certificate. */
  readonly identity?: { readonly cert: string; readonly key: string } | undefined;
}

/** A Unix socket whose connections lead to the pod: over the link of its node, else to the address itself. */
export type ReachPod = (pod: ServicePod, address: Pick<Destination, "host" | "port">) => string;

/** What a server answered. */
export interface ServiceAnswer {
  readonly response: Response;
  /** Set when the server goes on in another protocol (101): its connection, and what it sent on it already. */
  readonly upgraded: { readonly socket: Duplex; readonly head: Uint8Array } | undefined;
}

/**
 * Sends a request. The body of the response comes as the server sends it, still encoded; redirects are not followed. Each call has
 * a connection of its own: one that is kept would outlive a change of the trust.
 * @throws Error when there is no connection, or the server cannot prove who it is
 */
export async function callService(
  destination: Destination,
  { ca, insecure, identity }: Trust,
  call: ServiceCall,
  reach?: ReachPod,
): Promise<ServiceAnswer> {
  const { host, port, serverName, pod } = destination;
  const socketPath = pod && reach?.(pod, { host, port });
  const { promise, resolve, reject } = Promise.withResolvers<ServiceAnswer>();
  const sent = requestOverTls({
    ...(socketPath === undefined ? { host, port } : { socketPath }),
    ...(isIP(serverName) === 0 && { servername: serverName }),
    ...(ca !== undefined && { ca }),
    ...identity,
    rejectUnauthorized: insecure !== true,
    method: call.method,
    path: call.path,
    headers: fieldsOf(call, `${bracketed(serverName)}:${port}`),
    signal: call.signal,
    agent: false,
  });
  sent.on("error", reject);
  sent.once("response", (answer) => resolve({ response: responseOf(answer), upgraded: undefined }));
  sent.once("upgrade", (answer, socket, head) => {
    resolve({ response: new Response(null, headOf(answer, 200)), upgraded: { socket, head } });
  });
  void write(call.body, sent).catch((error: unknown) => sent.destroy(asError(error)));
  return promise;
}

/** Why there is no connection, with the words of Go's client where it has some. */
export function describeFailure(error: unknown, { host, port }: Destination): string {
  const code = errorCodeOf(error);
  if (code === "ECONNREFUSED") return `dial tcp ${bracketed(host)}:${port}: connect: connection refused`;
  return asError(error).message;
}

function fieldsOf({ headers }: ServiceCall, host: string): Record<string, string | string[]> {
  const fields = new Map<string, string[]>([["host", [host]]]);
  for (const [name, value] of headers)
    if (name !== "host") fields.set(name, [...(fields.get(name) ?? []), value]);
  return Object.fromEntries(
    [...fields].map(([name, values]) => [name, values.length === 1 ? (values[0] ?? "") : values]),
  );
}

async function write(body: ServiceCall["body"], sink: Writable): Promise<void> {
  if (body === null || typeof body === "string") return void sink.end(body ?? undefined);
  for await (const piece of body) {
    if (sink.destroyed) return;
    if (sink.write(piece)) continue;
    const ready = Promise.withResolvers<void>();
    const settle = (): void => ready.resolve();
    sink.once("drain", settle).once("close", settle);
    await ready.promise;
    sink.off("drain", settle).off("close", settle);
  }
  sink.end();
}

function responseOf(answer: IncomingMessage): Response {
  const head = headOf(answer, 502);
  const hasBody = ![204, 205, 304].includes(head.status);
  if (!hasBody) answer.resume();
  return new Response(hasBody ? readableOf(answer) : null, head);
}

function headOf(answer: IncomingMessage, otherwise: number): { status: number; headers: Headers } {
  const headers = new Headers();
  const { rawHeaders, statusCode = 0 } = answer;
  for (let at = 0; at + 1 < rawHeaders.length; at += 2)
    headers.append(rawHeaders[at] ?? "", rawHeaders[at + 1] ?? "");
  return { status: statusCode >= 200 && statusCode <= 599 ? statusCode : otherwise, headers };
}

function readableOf(answer: IncomingMessage): ReadableStream<Uint8Array> {
  let isOpen = true;
  const over = (end: () => void): void => {
    if (isOpen) end();
    isOpen = false;
  };
  return new ReadableStream<Uint8Array>(
    {
      start: (controller) => {
        answer.on("data", (piece: Uint8Array) => {
          if (!isOpen) return;
          controller.enqueue(new Uint8Array(piece));
          if ((controller.desiredSize ?? 0) <= 0) answer.pause();
        });
        const lost = (): void => over(() => controller.error(new Error("the server has gone")));
        answer.once("end", () => over(() => controller.close()));
        answer.once("error", lost).once("close", lost);
      },
      pull: () => void answer.resume(),
      cancel: () => {
        isOpen = false;
        answer.destroy();
      },
    },
    { highWaterMark: 1 },
  );
}

function bracketed(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}
