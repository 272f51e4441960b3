import type { Node } from "#shared/kube";
import type { IssuedCertificate, NodeRecord } from "./node-record.ts";

/** What is known of the certificate a peer shows. */
export interface ShownCertificate {
  readonly serial: string;
  readonly keyHash: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** It is of the kind that is valid for every node (CN `kubeedge.io`). */
  readonly isShared: boolean;
}

/** Why a node is refused, with what the operator has to run. */
export interface NodeRefusal {
  readonly reason: "banned" | "deleted" | "replaced" | "damaged";
  readonly text: string;
}

const dnsName = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

export function isNodeName(name: string): boolean {
  return name.length <= 253 && dnsName.test(name);
}

/** Why a certificate may not be used for the node now, to connect or to be renewed; undefined when it may. */
export function refuseCertificate(
  record: NodeRecord | undefined,
  nodeExists: boolean,
  shown: ShownCertificate,
): NodeRefusal | undefined {
  if (!record) return undefined;
  const ban = refuseBanned(record);
  if (ban) return ban;
  const { node } = record;
  if (isNodeDeleted(record, nodeExists))
    return {
      reason: "deleted",
      text: `node "${node}" was deleted from the cluster; to readmit it, run in the cloud: cloudcore node allow-rejoin ${node}`,
    };
  if (isCurrent(record, shown)) return undefined;
  return {
    reason: "replaced",
    text: `${shown.isShared ? "the shared certificate" : `certificate ${shown.serial}`} of node "${node}" was replaced by another one; if this is the right machine, let it join again with a token of its own: cloudcore token create --node ${node}`,
  };
}

export function refuseBanned({ node, banned }: NodeRecord): NodeRefusal | undefined {
  if (!banned) return undefined;
  const why = banned.reason === "" ? "" : `: ${banned.reason}`;
  return { reason: "banned", text: `node "${node}" is banned${why} (cloudcore node unban ${node} lifts it)` };
}

/** The Node object was there once, and is not now. */
export function isNodeDeleted({ nodeUid }: NodeRecord, nodeExists: boolean): boolean {
  return nodeUid !== undefined && !nodeExists;
}

function isCurrent({ certificates, since = "" }: NodeRecord, shown: ShownCertificate): boolean {
  if (certificates.length === 0 || certificates.some(({ serial }) => serial === shown.serial)) return true;
  // The shared pair serves until the node has one of its own; what a node has got may not have reached it yet.
  if (shown.isShared) return !certificates.some(({ used }) => used);
  // Newer than all on record: issued elsewhere with the key of the CA, or the record is from an old backup.
  return shown.notBeforeMs > Date.parse(since);
}

/** The record once the node has connected with a certificate; the same object when nothing changes. */
export function noteConnection(
  record: NodeRecord,
  shown: ShownCertificate,
  now: { readonly ca: string; readonly nodeUid: string | undefined },
): NodeRecord {
  const uid = now.nodeUid ?? record.nodeUid;
  const { rejoin } = record;
  const noted = noteCertificate(record, shown, now.ca);
  if (noted === record && uid === record.nodeUid && !rejoin?.returning) return record;
  return { ...noted, nodeUid: uid, rejoin: rejoin?.returning ? undefined : noted.rejoin };
}

function noteCertificate(record: NodeRecord, shown: ShownCertificate, ca: string): NodeRecord {
  if (shown.isShared) return record;
  const { certificates, since = "" } = record;
  const notAfter = new Date(shown.notAfterMs).toISOString();
  if (certificates.length === 0) {
    const isSeen = record.seen?.serial === shown.serial && record.ca === ca;
    return isSeen ? record : { ...record, ca, seen: { serial: shown.serial, notAfter } };
  }
  const found = certificates.find(({ serial }) => serial === shown.serial);
  if (found) return noteUse(record, found);
  // Let in by a copy that was late: it is about to be closed.
  if (!isCurrent(record, shown)) return record;
  const made: IssuedCertificate = {
    serial: shown.serial,
    key: shown.keyHash,
    notBefore: new Date(shown.notBeforeMs).toISOString(),
    notAfter,
    by: "made elsewhere",
    used: true,
  };
  return { ...record, ca, certificates: [made], since: made.notBefore > since ? made.notBefore : since };
}

/** Those before the one in use are no longer needed; those after it may still reach the node. */
function noteUse(record: NodeRecord, found: IssuedCertificate): NodeRecord {
  const { certificates } = record;
  const position = certificates.indexOf(found);
  const kept = certificates.filter(({ key }, index) => index <= position || key === found.key);
  if (found.used && kept.length === certificates.length) return record;
  return { ...record, certificates: kept.map((one) => (one === found ? { ...one, used: true } : one)) };
}

/** Why a certificate for another key may not be issued for this name, in words; undefined: the name is free. */
export function findHolder(
  record: NodeRecord | undefined,
  node: Node | undefined,
  { nowMs, ca }: { readonly nowMs: number; readonly ca: string },
): string | undefined {
  if (record && (isNodeDeleted(record, node !== undefined) || isOfAnotherCa(record, ca))) return undefined;
  const known = record ? endsOf(record) : [];
  const live = known.find((end) => Date.parse(end) > nowMs);
  if (live !== undefined) return `has a certificate that is valid until ${live.slice(0, 19)}Z`;
  return known.length === 0 && hasReported(node) ? "is registered already" : undefined;
}

/** A node that joined before there were records, or one that never was an edge node. */
function hasReported(node: Node | undefined): boolean {
  return (node?.status?.nodeInfo?.["kubeletVersion"] ?? "") !== "";
}

function isOfAnotherCa(record: NodeRecord, ca: string): boolean {
  return record.ca !== undefined && record.ca !== ca;
}

function endsOf({ certificates, seen }: NodeRecord): readonly string[] {
  return [...certificates, ...(seen ? [seen] : [])].map(({ notAfter }) => notAfter);
}

export function mayRejoin(record: NodeRecord | undefined, nowMs: number): boolean {
  return record?.rejoin !== undefined && Date.parse(record.rejoin.until) > nowMs;
}
