import type { TLSSocket } from "node:tls";
import { quote } from "#shared/errors";
import { identifyCertificate, isSignedBy, readCertificate, type CertificateInfo } from "#shared/pki";
import type { ShownCertificate } from "./rules.ts";

const nodePrefix = "system:node:";
const nodeOrganization = "system:nodes";
/** The name in every certificate that KubeEdge up to 1.15 issued: it is valid for every node. */
const sharedName = "kubeedge.io";

/** A name that many nodes' certificates share. */
export function isSharedName(commonName: string): boolean {
  return commonName === sharedName;
}

/** The certificate a peer showed. */
export interface PeerCertificate extends CertificateInfo {
  readonly der: Uint8Array;
  readonly shown: ShownCertificate;
  readonly isForClients: boolean;
}

/** @returns undefined when it showed none */
export function peerOf(socket: unknown): PeerCertificate | undefined {
  // Asked for by name: a plain socket does not have it.
  const raw = (socket as Partial<TLSSocket>).getPeerCertificate?.().raw;
  if (raw === undefined) return undefined;
  const info = readCertificate(raw);
  const { serial, keyHash, isForClients } = identifyCertificate(raw);
  const { notBeforeMs, notAfterMs } = info;
  const isShared = info.commonName === sharedName;
  return { ...info, der: raw, isForClients, shown: { serial, keyHash, notBeforeMs, notAfterMs, isShared } };
}

/** Why the certificate is not valid for the node, whatever is on record. */
export function refusePeer(
  peer: PeerCertificate,
  node: string,
  sharedCertificate: boolean,
): string | undefined {
  const { commonName, organizations, isForClients, shown } = peer;
  if (!isForClients) return `the certificate of ${quote(commonName)} is not one for clients`;
  if (shown.isShared)
    return sharedCertificate
      ? undefined
      : `the certificate of ${quote(commonName)} is shared by all nodes, which is disabled: join with a token (cloudcore token create --node ${node}), or set cloudhub.shared-certificate in the cloud`;
  if (commonName !== `${nodePrefix}${node}`)
    return `the certificate of ${quote(commonName)} is not valid for node "${node}"`;
  return organizations.includes(nodeOrganization)
    ? undefined
    : `the certificate of ${quote(commonName)} is not of the organization (O) "${nodeOrganization}"`;
}

/** Whether our CA vouches for the certificate now. */
export function isTrusted(peer: PeerCertificate, caPem: string, nowMs: number): boolean {
  return isSignedBy(peer.der, caPem) && peer.notBeforeMs <= nowMs && nowMs < peer.notAfterMs;
}

/** KubeEdge 1.x names the node in a header, 0.x in the path `/<project>/<node>/events`. */
export function nodeOfRequest(header: string | string[] | undefined, url: string | undefined): string {
  if (typeof header === "string" && header !== "") return header;
  return /^\/[^/]+\/([^/?]+)\/events(?:\?|$)/.exec(url ?? "")?.[1] ?? "";
}
