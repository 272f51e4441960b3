import type { IncomingHttpHeaders } from "node:http";
import { answersAllHeader, databaseHeader } from "#shared/wire";

export { closeCodes, largestMessageBytes } from "#shared/wire";

/** What our cloud adds to its answer to a handshake: that it answers every message, and the name of its database. */
export function cloudHandshakeHeaders(database: string | undefined): readonly string[] {
  return [`${answersAllHeader}: true`, ...(database ? [`${databaseHeader}: ${database}`] : [])];
}

/** The name of the node's database. @returns undefined when it is not sent, or not in a form that can be kept */
export function nodeDatabaseOf(headers: IncomingHttpHeaders): string | undefined {
  const name = headers[databaseHeader];
  return typeof name === "string" && /^[\w-]{1,64}$/.test(name) ? name : undefined;
}
