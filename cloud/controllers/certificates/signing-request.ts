import type { KubeObject } from "#shared/kube";

export interface CertificateSigningRequest extends KubeObject {
  readonly spec?: {
    /** PEM in base64 */
    readonly request?: string;
    readonly signerName?: string;
    readonly usages?: readonly string[];
    readonly expirationSeconds?: number;
  };
  readonly status?: {
    readonly conditions?: readonly SigningCondition[];
    /** PEM in base64 */
    readonly certificate?: string;
  };
}

interface SigningCondition {
  readonly type: string;
  readonly status: string;
  readonly reason?: string;
  readonly message?: string;
  readonly lastUpdateTime?: string;
}

export function conditionOf(
  { status }: CertificateSigningRequest,
  type: string,
): SigningCondition | undefined {
  return status?.conditions?.find((one) => one.type === type && one.status === "True");
}

/** Whether a signer has to act: it is approved, and neither denied, failed nor signed. */
export function isToBeSigned(request: CertificateSigningRequest): boolean {
  const has = (type: string): boolean => conditionOf(request, type) !== undefined;
  return has("Approved") && !has("Denied") && !has("Failed") && (request.status?.certificate ?? "") === "";
}
