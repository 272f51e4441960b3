import { STATUS_CODES, type IncomingMessage, type ServerResponse } from "node:http";
import type { Duplex, Writable } from "node:stream";
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
  // A log may be silent: its client is to know that it is read.
  response.flushHeaders();
  await writeBody(response, answer, new Uint8Array());
}

/** Answers on a socket that was handed over for another protocol as fast as the client reads, and ends it. */
export async function writeToSocket(socket: Duplex, answer: Response): Promise<void> {
  socket.resume();
  const headers = new Headers(answer.headers);
  // The end of the connection is that of the body, whose length may not be known.
  headers.delete("content-length");
  headers.set("connection", "close");
  const fields = [...headers].map(([name, value]) => `${name}: ${value}\r\n`);
  const { status } = answer;
  const head = Buffer.from(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\n${fields.join("")}\r\n`);
  await writeBody(socket, answer, head);
}

/** @param head written in one piece with the first bytes: they would wait for its acknowledgement */
async function writeBody(client: Writable, { body }: Response, head: Uint8Array): Promise<void> {
  const reader = body?.getReader();
  // Fails when the source has failed, which ends the answer early.
  client.once("close", () => void reader?.cancel("the client has gone").catch(() => undefined));
  let early = head;
  try {
    for (let read = await reader?.read(); read?.done === false; read = await reader?.read()) {
      const bytes = early.length === 0 ? read.value : Buffer.concat([early, read.value]);
      early = new Uint8Array();
      if (!client.write(bytes)) await drained(client);
    }
    if (early.length > 0) client.write(early);
    client.end();
  } catch {
    client.destroy();
  }
}
