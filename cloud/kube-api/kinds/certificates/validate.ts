import { duplicate, forbidden, invalid, notSupported, required } from "#cloud/kube-api/kinds/validation";
import type { FieldError, UpdateVia } from "#cloud/kube-api/schema";
import { readCertificate } from "#shared/pki";
import { childOf, itemsOf, numberOf, sameMeaning, textOf, textsOf, type JsonObject } from "#shared/json";
import { isDecision } from "./written.ts";

const signers = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/[^/]+$/;
/** Five for a domain of 253 characters, a slash and two labels of 63, as upstream counts. */
const longestSigner = 571;
const leastSeconds = 600;

const knownUsages = [
  "any",
  "cert sign",
  "client auth",
  "code signing",
  "content commitment",
  "crl sign",
  "data encipherment",
  "decipher only",
  "digital signature",
  "email protection",
  "encipher only",
  "ipsec end system",
  "ipsec tunnel",
  "ipsec user",
  "key agreement",
  "key encipherment",
  "microsoft sgc",
  "netscape sgc",
  "ocsp signing",
  "s/mime",
  "server auth",
  "signing",
  "timestamping",
];

/** Errors of a new CertificateSigningRequest. */
export function validateSigningRequest(object: JsonObject): FieldError[] {
  const spec = childOf(object, "spec");
  const signer = textOf(spec, "signerName");
  const errors: FieldError[] = [];
  const pem = Buffer.from(textOf(spec, "request"), "base64").toString("latin1");
  if (!/-----BEGIN (NEW )?CERTIFICATE REQUEST-----/.test(pem))
    errors.push(invalid("spec.request", {}, "PEM block type must be CERTIFICATE REQUEST"));
  errors.push(...validateUsages(textsOf(spec, "usages")));
  const text = 'must be a fully qualified domain and path of the form "example.com/signer-name"';
  if (signer === "") errors.push(required("spec.signerName"));
  else if (!signers.test(signer) || signer.length > longestSigner || !signer.split("/")[0]?.includes("."))
    errors.push(invalid("spec.signerName", signer, text));
  const seconds = numberOf(spec, "expirationSeconds");
  const least = "may not specify a duration less than 600 seconds (10 minutes)";
  if (seconds !== undefined && seconds < leastSeconds)
    errors.push(invalid("spec.expirationSeconds", seconds, least));
  return errors;
}

function validateUsages(usages: readonly string[]): FieldError[] {
  if (usages.length === 0) return [required("spec.usages")];
  return usages.flatMap((usage, index) => {
    const field = `spec.usages[${index}]`;
    if (!knownUsages.includes(usage)) return [notSupported(field, usage, knownUsages)];
    const isAgain = usages.indexOf(usage) !== index;
    return isAgain ? [duplicate(field, usage)] : [];
  });
}

const finalTypes = ["Approved", "Denied", "Failed"];

/** Errors of an update of a subresource: decisions are final, and so is a certificate. */
export function validateSigningUpdate(next: JsonObject, current: JsonObject, via: UpdateVia): FieldError[] {
  return [
    ...validateConditions(next),
    ...validateFinal(next, current, via),
    ...validateIssued(next, current),
  ];
}

function validateConditions(next: JsonObject): FieldError[] {
  const conditions = itemsOf(childOf(next, "status"), "conditions");
  const has = (type: string): boolean => conditions.some((one) => one.type === type);
  const errors = conditions.flatMap((condition, index) => {
    const path = `status.conditions[${index}]`;
    const [type, status] = [textOf(condition, "type"), textOf(condition, "status")];
    if (type === "") return [required(`${path}.type`)];
    const isFinal = finalTypes.includes(type);
    const isAgain = conditions.findIndex((one) => one.type === type) !== index;
    return [
      ...(status === "" ? [required(`${path}.status`)] : []),
      ...(status !== "" && isFinal && status !== "True"
        ? [notSupported(`${path}.status`, status, ["True"])]
        : []),
      ...(!isFinal && !["", "True", "False", "Unknown"].includes(status)
        ? [notSupported(`${path}.status`, status, ["False", "True", "Unknown"])]
        : []),
      ...(isAgain ? [duplicate(`${path}.type`, type)] : []),
    ];
  });
  if (!has("Approved") || !has("Denied")) return errors;
  const at = conditions.findLastIndex(isDecision);
  const text = "Approved and Denied conditions are mutually exclusive";
  return [...errors, invalid(`status.conditions[${at}].type`, conditions[at]?.type, text)];
}

function validateFinal(next: JsonObject, current: JsonObject, via: UpdateVia): FieldError[] {
  const of = (object: JsonObject, type: string): JsonObject[] =>
    itemsOf(childOf(object, "status"), "conditions").filter((one) => one.type === type);
  return finalTypes.flatMap((type) => {
    const [now, was] = [of(next, type), of(current, type)];
    if (sameMeaning(now, was)) return [];
    const verb = was.length === 0 ? "add" : now.length === 0 ? "remove" : "modify";
    const mayAdd = type === "Failed" ? via === "status" : via === "approval";
    if (verb === "add" && mayAdd) return [];
    return [
      forbidden("status.conditions", `updates may not ${verb} a condition of type ${JSON.stringify(type)}`),
    ];
  });
}

function validateIssued(next: JsonObject, current: JsonObject): FieldError[] {
  const now = textOf(childOf(next, "status"), "certificate");
  const was = textOf(childOf(current, "status"), "certificate");
  const field = "status.certificate";
  if (now === was) return [];
  if (was !== "") return [forbidden(field, "updates may not modify existing certificate content")];
  const pem = Buffer.from(now, "base64").toString("latin1");
  try {
    readCertificate(pem);
    return [];
  } catch {
    return [invalid(field, "<certificate data>", "must contain one or more PEM blocks")];
  }
}
