import type { Authorizer, User } from "#cloud/kube-api/auth";
import { refusals, type Refusal } from "#cloud/kube-api/status";
import { childOf, sameMeaning, textOf, type JsonObject } from "#shared/json";
import { fromPem, subjectOfRequest } from "#shared/pki";

/** A CertificateSigningRequest as it is to be stored. */
export interface SigningWrite {
  readonly subresource: string;
  readonly name: string;
  readonly next: JsonObject;
  readonly current: JsonObject | undefined;
}

const group = "certificates.k8s.io";
const userSigner = "kubernetes.io/kube-apiserver-client";
const masters = "system:masters";

/**
 * What the admission plugins CertificateSubjectRestriction, CertificateApproval and CertificateSigning check: nobody requests a
 * certificate of an administrator, and for a decision or a certificate a user needs a right on the signer, besides the one on
 * the subresource. @throws Refusal (Forbidden)
 */
export function checkSigningRequest(
  authorizer: Authorizer,
  user: User,
  { subresource, name, next, current }: SigningWrite,
): void {
  const signer = textOf(childOf(current ?? next, "spec"), "signerName");
  const refuse = (why: string): Refusal =>
    refusals.forbidden({ group, plural: "certificatesigningrequests" }, name, why);
  const may = (verb: string): boolean => maySign(authorizer, user, verb, signer);
  if (!current && signer === userSigner && asksForMasters(next))
    throw refuse(`use of ${userSigner} signer with ${masters} group is not allowed`);
  if (subresource === "approval" && !may("approve"))
    throw refuse(`user not permitted to approve requests with signerName ${JSON.stringify(signer)}`);
  if (subresource === "status" && !sameMeaning(next["status"], current?.["status"]) && !may("sign"))
    throw refuse(`user not permitted to sign requests with signerName ${JSON.stringify(signer)}`);
}

/** For this signer, or for all of its domain. */
function maySign(authorizer: Authorizer, user: User, verb: string, signer: string): boolean {
  const [domain = ""] = signer.split("/", 1);
  const wanted = { verb, group, resource: "signers", subresource: "", namespace: "" };
  return [signer, `${domain}/*`].some((name) => authorizer.allows(user, { ...wanted, name }));
}

/** One that cannot be read is refused: what it asks for is not known. */
function asksForMasters(request: JsonObject): boolean {
  const pem = Buffer.from(textOf(childOf(request, "spec"), "request"), "base64").toString("latin1");
  try {
    return subjectOfRequest(fromPem(pem) ?? new Uint8Array()).organizations.includes(masters);
  } catch {
    return true;
  }
}
