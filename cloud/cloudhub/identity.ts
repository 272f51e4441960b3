import type { TLSSocket } from "node:tls";
import { isSignedBy, readCertificate, type CertificateInfo } from "#shared/pki";

const nodePrefix = "system:node:";
/** The name in every certificate that KubeEdge up to 1.15 issued. */
const legacyName = "kubeedge.io";
const dnsName = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

export function isNodeName(name: string): boolean {
  return name.length <= 253 && dnsName.test(name);
}

/** Whose certificate it is: a node's own, one of the kind KubeEdge up to 1.15 issued, or another node's. */
export function identify(info: CertificateInfo, node: string): "own" | "legacy" | "other" {
  if (info.commonName === legacyName) return "legacy";
  return info.commonName === `${nodePrefix}${node}` ? "own" : "other";
}

export interface Peer extends CertificateInfo {
  readonly der: Uint8Array;
}

/** The certificate the peer showed. @returns undefined when it showed none */
export function peerOf(socket: unknown): Peer | undefined {
  const raw = (socket as Partial<TLSSocket>).getPeerCertificate?.().raw;
  return raw === undefined ? undefined : { ...readCertificate(raw), der: raw };
}

/** Whether our CA vouches for the certificate now. */
export function isTrusted(peer: Peer, caPem: string, nowMs: number): boolean {
  return isSignedBy(peer.der, caPem) && peer.notBeforeMs <= nowMs && nowMs < peer.notAfterMs;
}

/** KubeEdge 1.x names the node in a header, 0.x in the path `/<project>/<node>/events`. */
export function nodeOfRequest(header: string | string[] | undefined, url: string | undefined): string {
  if (typeof header === "string" && header !== "") return header;
  return /^\/[^/]+\/([^/?]+)\/events(?:\?|$)/.exec(url ?? "")?.[1] ?? "";
}
