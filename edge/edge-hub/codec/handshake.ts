import type { IncomingHttpHeaders } from "node:http";
import { adoptRoute, answersAllHeader, closeCodes, databaseHeader, streamsHeader } from "#shared/wire";
import type { CloudMessage } from "./cloud-message.ts";

/** What the cloud announced about itself in the handshake. */
export interface CloudPeer {
  /** It promises to answer every message. */
  readonly answersAll: boolean;
  /** the name of its database, where it announces one */
  readonly database: string | undefined;
  /** Byte streams may be opened on the link. */
  readonly streams: boolean;
}

/** The cloud before its handshake, and KubeEdge's after it. */
export const silentPeer: CloudPeer = { answersAll: false, database: undefined, streams: false };

export interface NodeIntroduction {
  readonly node: string;
  readonly project: string;
  /** name of the database of the node */
  readonly database: string;
}

/** Headers of the request that opens the link; KubeEdge's `viaduct` sends the first three. */
export function handshakeHeaders({ node, project, database }: NodeIntroduction): Record<string, string> {
  return {
    node_id: node,
    project_id: project,
    ConnectionUse: "msg",
    [databaseHeader]: database,
    [streamsHeader]: "1",
  };
}

export function readPeer(headers: IncomingHttpHeaders): CloudPeer {
  const name = headers[databaseHeader];
  const database = typeof name === "string" && /^[\w-]{1,64}$/.test(name) ? name : undefined;
  const answersAll = headers[answersAllHeader] === "true";
  return { answersAll, database, streams: headers[streamsHeader] === "1" };
}

/** `refused`: the node may not connect now; `duplicate`: another edgecore has its name and certificate. */
export type ClosePurpose = "refused" | "duplicate";

/** What the code of a close frame asks of the node. */
export function closePurpose(code: number): ClosePurpose | undefined {
  if (code === closeCodes.refused) return "refused";
  return code === closeCodes.duplicate ? "duplicate" : undefined;
}

/** @returns the database that an operator of the cloud adopted for this node; undefined for any other message */
export function decodeAdoption({ envelope: { route, content } }: CloudMessage): string | undefined {
  return route.operation === adoptRoute.operation && typeof content === "string" ? content : undefined;
}
