import { resources, type KubeClient } from "#cloud/kube-client";
import { isNodeDeleted, readRecord, RecordStore, type NodeRecord } from "#cloud/cloud-hub/node-access";
import { describeError, ProtocolError } from "#shared/errors";
import { edgeNodeLabel, nodeLeaseNamespace, type ConfigMap, type Lease, type Node } from "#shared/kube";

export interface ListedNode {
  readonly name: string;
  readonly state: "connected" | "disconnected" | "banned" | "deleted" | "not joined";
  /** When the node renewed its lease last. */
  readonly lastSeen?: string | undefined;
  readonly certificate?:
    { readonly serial: string; readonly notAfter: string; readonly by: string } | undefined;
  readonly banned?: NodeRecord["banned"];
  readonly rejoinUntil?: string | undefined;
  readonly note: string;
}

/** Nodes renew their lease every ten seconds; 40 s is node-monitor-grace-period of Kubernetes. */
const aliveMs = 40_000;

/** Edge nodes, and names with a node record. */
export async function listNodes(kube: KubeClient, nowMs: number): Promise<ListedNode[]> {
  const [{ items: nodes }, { items: leases }, objects] = await Promise.all([
    kube.list<Node>(resources.nodes),
    kube.list<Lease>(resources.leases, { namespace: nodeLeaseNamespace }),
    new RecordStore(kube).list(),
  ]);
  const seen = new Map(leases.map(({ metadata, spec }) => [metadata.name ?? "", spec?.renewTime]));
  const existing = new Set(nodes.map(({ metadata }) => metadata.name ?? ""));
  const edgeNodes = nodes.filter(({ metadata }) => metadata.labels?.[edgeNodeLabel] !== undefined);
  const records = new Map(objects.map((object) => [nameOf(object), object]));
  const names = [
    ...new Set([...edgeNodes.map(({ metadata }) => metadata.name ?? ""), ...records.keys()]),
  ].toSorted();
  return names.map((name) => {
    const node = { name, exists: existing.has(name), lastSeen: seen.get(name) };
    const object = records.get(name);
    try {
      return describeNode(node, object && readRecord(object), nowMs);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      return { ...describeNode(node, undefined, nowMs), note: describeError(error) };
    }
  });
}

interface NodePresence {
  readonly name: string;
  readonly exists: boolean;
  readonly lastSeen: string | undefined;
}

function nameOf({ metadata, data }: ConfigMap): string {
  return data?.["node"] ?? metadata.name ?? "";
}

function describeNode(
  { name, exists, lastSeen }: NodePresence,
  record: NodeRecord | undefined,
  nowMs: number,
): ListedNode {
  const [issued] = record?.certificates ?? [];
  const certificate = issued
    ? { serial: issued.serial, notAfter: issued.notAfter, by: issued.by }
    : record?.seen && { ...record.seen, by: "made elsewhere" };
  const isAlive = exists && lastSeen !== undefined && nowMs - Date.parse(lastSeen) < aliveMs;
  const rejoinUntil = record?.rejoin?.until;
  return {
    name,
    state: stateOf(record, exists, isAlive),
    lastSeen,
    certificate,
    banned: record?.banned,
    rejoinUntil,
    note: [banNote(record), rejoinUntil === undefined ? "" : `may rejoin until ${rejoinUntil}`]
      .filter((text) => text !== "")
      .join("; "),
  };
}

function stateOf(record: NodeRecord | undefined, exists: boolean, isAlive: boolean): ListedNode["state"] {
  if (record?.banned) return "banned";
  if (record && isNodeDeleted(record, exists)) return "deleted";
  if (!exists) return "not joined";
  return isAlive ? "connected" : "disconnected";
}

function banNote(record: NodeRecord | undefined): string {
  if (!record?.banned) return "";
  return record.banned.reason === "" ? `banned at ${record.banned.at}` : record.banned.reason;
}
