import { randomUUID } from "node:crypto";
import { refusals } from "#cloud/kube-api/status";
import { rfc3339 } from "#shared/clock";
import { asText, isObject, metadataOf, recordOf, type Json, type JsonObject } from "#shared/json";
import type { KubeObject } from "#shared/kube";
import type { TokenClaims, TokenSigner } from "./tokens.ts";

export interface TokenParts {
  readonly signer: TokenSigner;
  readonly nowMs: number;
  /** Issuer of tokens, and their audience by default. */
  readonly issuer: string;
  readonly find: (resource: string, namespace: string, name: string) => KubeObject | undefined;
}

export interface Account {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

const type = { group: "authentication.k8s.io", plural: "tokenrequests", kind: "TokenRequest" };

/** `POST …/token` of a service account: a signed token with a time limit. @throws Refusal */
export function requestToken(parts: TokenParts, account: Account, body: Json): JsonObject {
  const { namespace, name, uid } = account;
  const request = isObject(body) ? body : {};
  checkNames(account, metadataOf(request));
  const spec = isObject(request["spec"]) ? request["spec"] : {};
  const seconds = readSeconds(spec);
  const issued = Math.floor(parts.nowMs / 1000);
  const asked = readAudiences(spec);
  const audiences = asked.length > 0 ? asked : [parts.issuer];
  const token = parts.signer.sign({
    iss: parts.issuer,
    aud: audiences,
    sub: `system:serviceaccount:${namespace}:${name}`,
    iat: issued,
    nbf: issued,
    exp: issued + seconds,
    jti: randomUUID(),
    "kubernetes.io": {
      namespace,
      serviceaccount: { name, uid },
      ...boundTo(parts, account, spec["boundObjectRef"]),
    },
  });
  return {
    kind: "TokenRequest",
    apiVersion: "authentication.k8s.io/v1",
    metadata: { name, namespace, creationTimestamp: rfc3339(parts.nowMs) },
    spec: { ...spec, audiences, expirationSeconds: seconds },
    status: { token, expirationTimestamp: rfc3339((issued + seconds) * 1000) },
  };
}

function checkNames(account: Account, metadata: JsonObject): void {
  for (const field of ["name", "namespace"] as const) {
    const given = asText(metadata[field]);
    if (given === "" || given === account[field]) continue;
    throw invalid(`metadata.${field}`, given, `must match the service account ${field} ${account[field]}`);
  }
}

function readSeconds(spec: JsonObject): number {
  const seconds = spec["expirationSeconds"] ?? 3600;
  const field = "spec.expirationSeconds";
  if (typeof seconds !== "number" || !Number.isInteger(seconds))
    throw invalid(field, seconds, "must be a whole number");
  if (seconds < 600) throw invalid(field, seconds, "may not specify a duration less than 10 minutes");
  if (seconds > 2 ** 32) throw invalid(field, seconds, "may not specify a duration larger than 2^32 seconds");
  return seconds;
}

function readAudiences(spec: JsonObject): string[] {
  const audiences = spec["audiences"] ?? [];
  if (!Array.isArray(audiences)) throw invalid("spec.audiences", audiences, "must be a list");
  const texts = audiences.filter((one) => typeof one === "string");
  const wrong = audiences.find((one) => typeof one !== "string");
  if (wrong !== undefined) throw invalid("spec.audiences", wrong, "must be a string");
  return texts;
}

function invalid(field: string, value: Json, problem: string): Error {
  const message = `Invalid value: ${JSON.stringify(value)}: ${problem}`;
  return refusals.unprocessable(type, "", { reason: "FieldValueInvalid", message, field });
}

type Bound = Partial<Pick<TokenClaims["kubernetes.io"], "pod" | "secret" | "node">>;
const bindable = { Pod: "pods", Secret: "secrets", Node: "nodes" } as const;

function boundTo(parts: TokenParts, account: Account, reference: Json | undefined): Bound {
  if (!isObject(reference)) return {};
  const kind = asText(reference["kind"]);
  const cannot = `cannot bind token for serviceaccount ${JSON.stringify(account.name)}`;
  if (reference["apiVersion"] !== "v1" || !isBindable(kind))
    throw refusals.badRequest(`${cannot} to object of type ${asText(reference["apiVersion"])}, Kind=${kind}`);
  const plural = bindable[kind];
  const name = asText(reference["name"]);
  const object = parts.find(`/${plural}`, kind === "Node" ? "" : account.namespace, name);
  if (!object) throw refusals.notFound({ group: "", plural }, name);
  const { uid = "" } = object.metadata;
  const asked = asText(reference["uid"]);
  if (asked !== "" && asked !== uid) {
    const why = `the UID in the bound object reference (${asked}) does not match the UID in record. The object might have been deleted and then recreated`;
    throw refusals.conflict({ group: "", plural: kind }, name, why);
  }
  if (kind === "Pod") return { pod: { name, uid }, ...nodeOf(parts, account, object) };
  return kind === "Secret" ? { secret: { name, uid } } : { node: { name, uid } };
}

/** The node of a pod, which has to run as the account. @throws Refusal (BadRequest) */
function nodeOf(parts: TokenParts, account: Account, pod: KubeObject): Bound {
  const spec = recordOf(pod["spec"]);
  if (asText(spec["serviceAccountName"]) !== account.name)
    throw refusals.badRequest(
      `cannot bind token for serviceaccount ${JSON.stringify(account.name)} to pod running with different serviceaccount name.`,
    );
  const nodeName = asText(spec["nodeName"]);
  const uid = nodeName === "" ? undefined : parts.find("/nodes", "", nodeName)?.metadata.uid;
  return uid === undefined ? {} : { node: { name: nodeName, uid } };
}

function isBindable(kind: string): kind is keyof typeof bindable {
  return Object.hasOwn(bindable, kind);
}
