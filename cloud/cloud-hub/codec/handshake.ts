import type { IncomingHttpHeaders } from "node:http";
import { answersAllHeader, databaseHeader, streamsHeader } from "#shared/wire";

export { closeCodes, largestMessageBytes } from "#shared/wire";

/** What our cloud adds to its answer to a handshake: that it answers every message, has streams, and its database by name. */
export function cloudHandshakeHeaders(database: string | undefined): readonly string[] {
  const name = database ? [`${databaseHeader}: ${database}`] : [];
  return [`${answersAllHeader}: true`, `${streamsHeader}: 1`, ...name];
}

/** The name of the node's database. @returns undefined when it is not sent, or not in a form that can be kept */
export function nodeDatabaseOf(headers: IncomingHttpHeaders): string | undefined {
  const name = headers[databaseHeader];
  return typeof name === "string" && /^[\w-]{1,64}$/.test(name) ? name : undefined;
}

/** Whether the edgecore of the node has byte streams. */
export function hasStreams(headers: IncomingHttpHeaders): boolean {
  return headers[streamsHeader] === "1";
}
