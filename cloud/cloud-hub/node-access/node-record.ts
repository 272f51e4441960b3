import { createHash } from "node:crypto";
import { ProtocolError } from "#shared/errors";
import { isRecord, tryJson } from "#shared/json";
import type { ConfigMap } from "#shared/kube";

/** Where join tokens and the records of nodes are kept. */
export const accessNamespace = "kubeedge";
/** On every record, so that one selector lists them. */
export const recordLabel = "kubeedge.io/edge-node-record";

/** A certificate that was issued to a node. */
export interface IssuedCertificate {
  /** hex, lower case */
  readonly serial: string;
  /** hex SHA-256 of its public key */
  readonly key: string;
  readonly notBefore: string;
  readonly notAfter: string;
  /** What it was issued on, e.g. `token ab12cd34`. */
  readonly by: string;
  /** The node has connected with it: the one before is no longer needed. */
  readonly used?: boolean;
}

/** What the cloud knows of the name of a node: who may use it. */
export interface NodeRecord {
  readonly node: string;
  /** Those that may be used, the newest first; empty: any that our CA has signed for the name. */
  readonly certificates: readonly IssuedCertificate[];
  /** hex SHA-256 of the CA that signed them: those of another one are not valid. */
  readonly ca?: string | undefined;
  /** When the newest was issued: an unknown certificate that is valid only from later on is a newer one. */
  readonly since?: string | undefined;
  /** A certificate that was not issued here and was used last. */
  readonly seen?: { readonly serial: string; readonly notAfter: string } | undefined;
  /** uid of the Node object when it was seen last: when there is none now, it was deleted. */
  readonly nodeUid?: string | undefined;
  readonly banned?: { readonly at: string; readonly reason: string } | undefined;
  /** An operator lets another machine join under the name once; `returning`: or the one whose Node was deleted come back. */
  readonly rejoin?: { readonly until: string; readonly returning?: boolean } | undefined;
}

/** Enough for repeated requests with one key. */
const mostCertificates = 8;

export function emptyRecord(node: string): NodeRecord {
  return { node, certificates: [] };
}

const prefix = "edge-node.";

/** The name of the object that holds the record; node names may be as long as names of objects. */
export function recordName(node: string): string {
  const name = `${prefix}${node}`;
  if (name.length <= 253) return name;
  return `edge-node-hash.${createHash("sha256").update(node).digest("hex")}`;
}

export function isNodeRecord(object: ConfigMap): boolean {
  const { namespace, labels } = object.metadata;
  return namespace === accessNamespace && labels?.[recordLabel] !== undefined;
}

/** @throws ProtocolError when it is damaged */
export function readRecord({ metadata, data = {} }: ConfigMap): NodeRecord {
  const { node } = data;
  if (node === undefined || recordName(node) !== metadata.name) throw damaged(metadata.name, "node");
  const read = <T>(key: string, holds: (value: unknown) => value is T): T | undefined => {
    const text = data[key];
    if (text === undefined || text === "") return undefined;
    const value = tryJson(text);
    if (holds(value)) return value;
    throw damaged(metadata.name, key);
  };
  return {
    node,
    certificates: read("certificates", areCertificates) ?? [],
    ca: data["ca"],
    since: data["since"],
    seen: read("seen", isSeen),
    nodeUid: data["nodeUid"],
    banned: read("banned", isBan),
    rejoin: read("rejoin", isRejoin),
  };
}

export function writeRecord(record: NodeRecord, version: string | undefined): ConfigMap {
  const { node, certificates, ca, since, seen, nodeUid, banned, rejoin } = record;
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: {
      name: recordName(node),
      namespace: accessNamespace,
      labels: { [recordLabel]: "" },
      ...(version !== undefined && { resourceVersion: version }),
    },
    data: {
      node,
      ...(certificates.length > 0 && { certificates: JSON.stringify(certificates) }),
      ...(ca !== undefined && { ca }),
      ...(since !== undefined && { since }),
      ...(seen && { seen: JSON.stringify(seen) }),
      ...(nodeUid !== undefined && { nodeUid }),
      ...(banned && { banned: JSON.stringify(banned) }),
      ...(rejoin && { rejoin: JSON.stringify(rejoin) }),
    },
  };
}

export interface Issued {
  readonly next: IssuedCertificate;
  readonly at: string;
  readonly ca: string;
}

/** What was issued is in use from now on; of those before, only `kept` stay. */
export function withCertificate(
  record: NodeRecord,
  { next, at, ca }: Issued,
  kept: readonly IssuedCertificate[],
): NodeRecord {
  const { seen: _seen, rejoin: _rejoin, ...rest } = record;
  const certificates = [next, ...kept].slice(0, mostCertificates);
  // Clocks of several clouds differ: what was ever on record is never newer.
  const known = [...certificates, ...record.certificates].map(({ notBefore }) => notBefore);
  const starts = [at, record.since ?? "", ...known];
  return { ...rest, certificates, ca, since: starts.reduce((a, b) => (a > b ? a : b)) };
}

function damaged(name: string | undefined, key: string): ProtocolError {
  return new ProtocolError(
    "damaged-record",
    `ConfigMap "${accessNamespace}/${name ?? ""}": ${key} cannot be read: correct it, or delete the ConfigMap to accept any certificate of the CA`,
  );
}

function hasTexts(value: unknown, ...keys: readonly string[]): value is Readonly<Record<string, unknown>> {
  return isRecord(value) && keys.every((key) => typeof value[key] === "string");
}

function isTime(value: unknown): boolean {
  return typeof value === "string" && !Number.isNaN(Date.parse(value));
}

function areCertificates(value: unknown): value is readonly IssuedCertificate[] {
  return (
    Array.isArray(value) &&
    value.every(
      (one) => hasTexts(one, "serial", "key", "by") && isTime(one["notBefore"]) && isTime(one["notAfter"]),
    )
  );
}

function isSeen(value: unknown): value is { serial: string; notAfter: string } {
  return hasTexts(value, "serial") && isTime(value["notAfter"]);
}

function isBan(value: unknown): value is { at: string; reason: string } {
  return hasTexts(value, "at", "reason");
}

function isRejoin(value: unknown): value is { until: string; returning?: boolean } {
  return hasTexts(value, "until") && isTime(value["until"]);
}
