import { readCertificate } from "#shared/pki";
import { conditionOf, type CertificateSigningRequest } from "./signing-request.ts";

const hourMs = 3_600_000;
/** Of requests that nobody decides about. */
const pendingMs = 24 * hourMs;

/** Whether a request is of no further use, as the csrcleaner of kube-controller-manager decides. */
export function isOutdated(request: CertificateSigningRequest, nowMs: number): boolean {
  const { metadata, status } = request;
  const isOlder = (time: string | null | undefined, ms: number): boolean =>
    Date.parse(time ?? "") < nowMs - ms;
  if ((status?.conditions ?? []).length === 0) return isOlder(metadata.creationTimestamp, pendingMs);
  const ended = ["Denied", "Failed"].some((type) =>
    isOlder(conditionOf(request, type)?.lastUpdateTime, hourMs),
  );
  const certificate = status?.certificate ?? "";
  if (certificate === "") return ended;
  const issued = isOlder(conditionOf(request, "Approved")?.lastUpdateTime, hourMs);
  return ended || issued || isExpired(certificate, nowMs);
}

function isExpired(certificate: string, nowMs: number): boolean {
  try {
    return readCertificate(Buffer.from(certificate, "base64").toString("utf8")).notAfterMs <= nowMs;
  } catch {
    return false;
  }
}
