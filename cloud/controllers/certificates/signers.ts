import type { AskedNames, CertifiedUsage } from "#shared/pki";

/** What a signer is asked for. */
interface Asked extends AskedNames {
  readonly usages: readonly string[];
}

/** Why a signer does not sign; undefined: it does. */
type Judge = (asked: Asked) => string | undefined;

const nodes = "system:nodes";
const nodePrefix = "system:node:";

/**
 * The signers of kube-controller-manager, with its rules and texts (pkg/apis/certificates/helpers.go). `legacy-unknown` is none of
 * them: nobody can say what its certificates are for.
 */
export const signers: ReadonlyMap<string, Judge> = new Map<string, Judge>([
  ["kubernetes.io/kube-apiserver-client", judgeClient],
  ["kubernetes.io/kube-apiserver-client-kubelet", judgeKubeletClient],
  ["kubernetes.io/kubelet-serving", judgeKubeletServing],
]);

/** The usages of a request that was judged. */
export function certifiedUsages(usages: readonly string[]): CertifiedUsage[] {
  return certified.filter((usage) => usages.includes(usage));
}

const certified = ["digital signature", "key encipherment", "client auth", "server auth"] as const;

function judgeClient({ usages }: Asked): string | undefined {
  const allowed = ["digital signature", "key encipherment", "client auth"];
  const wrong = usages.find((usage) => !allowed.includes(usage));
  if (wrong !== undefined) return `invalid usage for client certificate: ${wrong}`;
  return usages.includes("client auth")
    ? undefined
    : "missing required usage for client certificate: client auth";
}

function judgeKubeletClient(asked: Asked): string | undefined {
  const { dnsNames, ipAddresses } = asked;
  if (dnsNames.length > 0) return "DNS subjectAltNames are not allowed";
  if (ipAddresses.length > 0) return "IP subjectAltNames are not allowed";
  return judgeNode(asked, "client auth");
}

function judgeKubeletServing(asked: Asked): string | undefined {
  const { dnsNames, ipAddresses } = asked;
  if (dnsNames.length + ipAddresses.length === 0) return "DNS or IP subjectAltName is required";
  return judgeNode(asked, "server auth");
}

function judgeNode({ subject, otherNames, usages }: Asked, purpose: CertifiedUsage): string | undefined {
  const { organizations, commonName } = subject;
  if (organizations.length !== 1 || organizations[0] !== nodes)
    return "subject organization is not system:nodes";
  if (!commonName.startsWith(nodePrefix)) return "subject common name does not begin with system:node: ";
  const other = otherNames[0];
  if (other !== undefined)
    return `${other.startsWith("email:") ? "Email" : "URI"} subjectAltNames are not allowed`;
  const required = ["digital signature", purpose];
  const isExact = usages.every((usage) => usage === "key encipherment" || required.includes(usage));
  if (isExact && required.every((usage) => usages.includes(usage))) return undefined;
  return `usages did not match [key encipherment digital signature ${purpose}]`;
}

/** A year, as --cluster-signing-duration, and the least that a request may ask for. */
const longestSeconds = 31_536_000;
const leastSeconds = 600;
/** Clocks that are behind take a new certificate all the same. */
const backdatedMs = 300_000;

/** When a certificate is valid that was asked for with so many seconds. */
export function validityOf(
  expirationSeconds: number | undefined,
  nowMs: number,
): { readonly notBeforeMs: number; readonly notAfterMs: number } {
  const seconds = Math.min(longestSeconds, Math.max(leastSeconds, expirationSeconds ?? longestSeconds));
  return { notBeforeMs: nowMs - backdatedMs, notAfterMs: nowMs + seconds * 1000 };
}
