import { STATUS_CODES, type IncomingMessage, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { drained } from "./socket-connection.ts";

/**
 * A request without its body: those that may become another protocol have none.
 * @param signal aborts when the client leaves
 * @returns undefined when it is not well formed
 */
export function requestOf(
  { method = "GET", url = "/", rawHeaders }: IncomingMessage,
  signal: AbortSignal,
): Request | undefined {
  const headers = new Headers();
  try {
    for (let at = 0; at + 1 < rawHeaders.length; at += 2)
      headers.append(rawHeaders[at] ?? "", rawHeaders[at + 1] ?? "");
    // Not resolved against the host: a path may begin with two slashes, and would name another one.
    return new Request(`https://localhost${url}`, { method, headers, signal });
  } catch {
    return undefined;
  }
}

/** Answers as fast as the client reads, and closes the connection: a body that came with the request is not read. */
export async function writeAnswer(response: ServerResponse, answer: Response): Promise<void> {
  response.writeHead(answer.status, { ...Object.fromEntries(answer.headers), connection: "close" });
  const reader = answer.body?.getReader();
  // Fails when the source has failed, which ends the answer early.
  response.once("close", () => void reader?.cancel("the client has gone").catch(() => undefined));
  try {
    // A log may be silent: its client is to know that it is read.
    response.flushHeaders();
    for (let read = await reader?.read(); read?.done === false; read = await reader?.read())
      if (!response.write(read.value)) await drained(response);
    response.end();
  } catch {
    response.destroy();
  }
}

/** Answers on a socket that was handed over for another protocol as fast as the client reads, and ends it. */
export async function writeToSocket(socket: Duplex, answer: Response): Promise<void> {
  const reader = answer.body?.getReader();
  socket.once("close", () => void reader?.cancel("the client has gone").catch(() => undefined));
  socket.resume();
  const headers = new Headers(answer.headers);
  // The end of the connection is that of the body, whose length may not be known.
  headers.delete("content-length");
  headers.set("connection", "close");
  const fields = [...headers].map(([name, value]) => `${name}: ${value}\r\n`);
  const { status } = answer;
  let head = Buffer.from(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\n${fields.join("")}\r\n`);
  try {
    for (let read = await reader?.read(); read?.done === false; read = await reader?.read()) {
      // In one piece: the second would wait for the acknowledgement of the first.
      if (!socket.write(Buffer.concat([head, read.value]))) await drained(socket);
      head = Buffer.alloc(0);
    }
    socket.end(head);
  } catch {
    socket.destroy();
  }
}
