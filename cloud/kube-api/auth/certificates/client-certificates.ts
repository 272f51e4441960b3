import { fingerprintOf, identifyCertificate, readCertificate, subjectOfCertificate } from "#shared/pki";
import type { Peer, User } from "#cloud/kube-api/auth";

interface Shown {
  readonly der: Uint8Array;
  /** Signed by the CA for clients, and valid now. */
  readonly isTrusted: boolean;
}

/**
 * Who a connection belongs to by its client certificate, as `x509.CommonNameUserConversion` of apiserver: the common name is the
 * user, organizations are groups. Undefined when it names nobody, which is as none at all.
 */
export function peerOfCertificate({ der, isTrusted }: Shown): Peer | undefined {
  const id = fingerprintOf(der);
  const user = isTrusted ? userOf(der, id) : "untrusted";
  return user && { id: user === "untrusted" ? user : id, user };
}

function userOf(der: Uint8Array, id: string): User | "untrusted" | undefined {
  try {
    if (!identifyCertificate(der).isForClients) return "untrusted";
    const { commonName, organizations } = subjectOfCertificate(der);
    if (commonName === "") return undefined;
    return {
      name: commonName,
      groups: [...organizations, ...(organizations.includes(authenticated) ? [] : [authenticated])],
      extra: { "authentication.kubernetes.io/credential-id": [`X509SHA256=${id}`] },
      expiresMs: readCertificate(der).notAfterMs,
    };
  } catch {
    return "untrusted";
  }
}

/** Why a certificate is no credential, for the log: what its holder has to change. */
export function refusalOf({ der, isTrusted }: Shown, nowMs: number): CertificateRefusal {
  try {
    const { notBeforeMs, notAfterMs } = readCertificate(der);
    const user = subjectOfCertificate(der).commonName.slice(0, longestName);
    if (nowMs >= notAfterMs) return { user, problem: `it expired at ${new Date(notAfterMs).toISOString()}` };
    if (nowMs < notBeforeMs)
      return { user, problem: `it is not valid before ${new Date(notBeforeMs).toISOString()}` };
    return {
      user,
      problem: isTrusted
        ? "it is not for clients"
        : "it is not of the client CA of this API, or not for clients",
    };
  } catch {
    return { user: "", problem: "it cannot be read" };
  }
}

export interface CertificateRefusal {
  /** Whom it names, which nobody has proven; "" when it cannot be read. */
  readonly user: string;
  readonly problem: string;
}

/** Of a name in a log line, since strangers choose it: common names have 64 characters at most (RFC 5280, A.1). */
const longestName = 64;
const authenticated = "system:authenticated";
