import { STATUS_CODES, type IncomingMessage, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";

/** A request without its body: those that may become another protocol have none. Undefined when it is not well formed. */
export function requestOf({ method = "GET", url = "/", rawHeaders }: IncomingMessage): Request | undefined {
  const headers = new Headers();
  try {
    for (let at = 0; at + 1 < rawHeaders.length; at += 2)
      headers.append(rawHeaders[at] ?? "", rawHeaders[at + 1] ?? "");
    // Not resolved against the host: a path may begin with two slashes, and would name another one.
    return new Request(`https://localhost${url}`, { method, headers });
  } catch {
    return undefined;
  }
}

/** Answers, and closes the connection: a body that came with the request is not read. */
export async function writeAnswer(response: ServerResponse, answer: Response): Promise<void> {
  const body = new Uint8Array(await answer.arrayBuffer());
  response.writeHead(answer.status, { ...Object.fromEntries(answer.headers), connection: "close" });
  response.end(body);
}

/** Answers on a socket that was handed over for another protocol, and ends it. */
export async function writeToSocket(socket: Duplex, answer: Response): Promise<void> {
  const body = new Uint8Array(await answer.arrayBuffer());
  const headers = new Headers(answer.headers);
  headers.set("connection", "close");
  headers.set("content-length", String(body.length));
  const fields = [...headers].map(([name, value]) => `${name}: ${value}\r\n`);
  const { status } = answer;
  const head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\n${fields.join("")}\r\n`;
  // In one piece: the second would wait for the acknowledgement of the first.
  socket.end(Buffer.concat([Buffer.from(head), body]));
  socket.resume();
}
