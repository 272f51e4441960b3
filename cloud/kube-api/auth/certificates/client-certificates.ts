import { fingerprintOf, identifyCertificate, readCertificate, subjectOfCertificate } from "#shared/pki";
import type { Peer, User } from "#cloud/kube-api/auth";

/**
 * Who a connection belongs to by its client certificate, as `x509.CommonNameUserConversion` of apiserver: the common name is the
 * user, organizations are groups. Undefined when it names nobody, which is as none at all.
 */
export function peerOfCertificate({
  der,
  isTrusted,
}: {
  readonly der: Uint8Array;
  readonly isTrusted: boolean;
}): Peer | undefined {
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

const authenticated = "system:authenticated";
