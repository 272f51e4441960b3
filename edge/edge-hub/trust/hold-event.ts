import { createHash } from "node:crypto";
import { rfc3339 } from "#shared/clock";
import type { Event } from "#shared/kube";
import type { CloudDatabase } from "#shared/topics";

/** The Event for a cloud that is held back. It has one name for each database, so that the cluster has one. */
export function holdEvent(node: string, database: CloudDatabase, nowMs: number): Event {
  const unique = createHash("sha256").update(`${database.known} ${database.found}`).digest("hex");
  const name = `${node}.${unique.slice(0, 16)}`;
  const time = rfc3339(nowMs);
  return {
    apiVersion: "v1",
    kind: "Event",
    metadata: { name, namespace: "default" },
    involvedObject: { apiVersion: "v1", kind: "Node", name: node, uid: node },
    reason: "CloudDatabaseChanged",
    message: database.message,
    type: "Warning",
    count: 1,
    firstTimestamp: time,
    lastTimestamp: time,
    source: { component: "edgecore", host: node },
    reportingComponent: "edgecore",
    reportingInstance: node,
  };
}
