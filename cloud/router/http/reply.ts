import { STATUS_CODES, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { errorHeader } from "#cloud/router/senders";

/** Why cloudcore answers a request itself. */
export interface EntryProblem {
  readonly status: number;
  /** for programs, kebab-case */
  readonly code: string;
  readonly reason: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/**
 * Answers why there is no other answer, as the service bus of a node does. What is left of the request is not read, so that the
 * connection ends with it.
 */
export function sendProblem(response: ServerResponse, problem: EntryProblem): void {
  if (response.headersSent) return void response.destroy();
  const { status, code, reason, headers = {} } = problem;
  const body = `${JSON.stringify({ error: reason, reason: code })}\n`;
  const isRead = response.req.complete;
  response.writeHead(status, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
    [errorHeader]: code,
    ...(!isRead && { connection: "close" }),
    ...headers,
  });
  response.end(response.req.method === "HEAD" ? undefined : body);
}

/** The same on a connection that was to become a WebSocket. */
export function writeProblem(socket: Duplex, { status, code, reason, headers = {} }: EntryProblem): void {
  const body = `${JSON.stringify({ error: reason, reason: code })}\n`;
  const fields = {
    "content-type": "application/json",
    "content-length": String(Buffer.byteLength(body)),
    connection: "close",
    [errorHeader]: code,
    ...headers,
  };
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? "Error"}\r\n${lines.join("")}\r\n${body}`);
}

export function sendJson(response: ServerResponse, status: number, value: unknown): void {
  const body = `${JSON.stringify(value)}\n`;
  response.writeHead(status, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
  });
  response.end(body);
}
