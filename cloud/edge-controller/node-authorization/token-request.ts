import { asRecord, asText, recordOf } from "#shared/json";
import { isMirrorPod, type Pod } from "#shared/kube";

/** A node that was stolen can use the tokens of its pods for a day at most. */
export const longestTokenSeconds = 86_400;
/** As the API server does without expirationSeconds. */
const usualTokenSeconds = 3600;

/** A TokenRequest as a node may have it made. */
export interface NodeTokenRequest {
  readonly audiences: readonly string[];
  readonly expirationSeconds: number;
  readonly pod: { readonly name: string; readonly uid: string };
}

/** A reading of what a node sent, or what is wrong with it. */
export type ReadTokenRequest =
  { readonly ok: true; readonly request: NodeTokenRequest } | { readonly ok: false; readonly fault: string };

/**
 * Reads the spec of a TokenRequest. It has to be bound to a pod with its uid; more than a day is cut to a day, as the
 * kubelet expects of a server with a maximum: it goes by the expiry in the answer.
 */
export function readTokenRequest(spec: Readonly<Record<string, unknown>>): ReadTokenRequest {
  const { kind, apiVersion, name, uid } = recordOf(spec["boundObjectRef"]);
  if (kind !== "Pod" || apiVersion !== "v1" || !isName(name))
    return refuse("node requested token not bound to a pod");
  if (!isName(uid)) return refuse("node requested token with a pod binding without a uid");
  const audiences = spec["audiences"] ?? [];
  if (!isTexts(audiences)) return refuse("spec.audiences is not a list of strings");
  if (audiences.length > 1) return refuse("node may only request 0 or 1 audiences");
  const asked = spec["expirationSeconds"] ?? usualTokenSeconds;
  if (!Number.isInteger(asked)) return refuse("spec.expirationSeconds is not a whole number");
  const expirationSeconds = Math.min(Number(asked), longestTokenSeconds);
  return { ok: true, request: { audiences, expirationSeconds, pod: { name, uid } } };
}

function isName(value: unknown): value is string {
  return typeof value === "string" && value !== "";
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((one) => typeof one === "string");
}

/** Why a node gets no token of the account for that pod, undefined when it does. */
export function tokenFault(
  asked: { readonly node: string; readonly account: string; readonly request: NodeTokenRequest },
  pod: Pod | undefined,
): string | undefined {
  const { node, account, request } = asked;
  const { uid } = request.pod;
  if (!pod) return `pod ${JSON.stringify(request.pod.name)} not found`;
  if (pod.metadata.uid !== uid)
    return `the UID in the bound object reference (${uid}) does not match the UID in record. The object might have been deleted and then recreated`;
  if (pod.spec.nodeName !== node) return "node requested token bound to a pod scheduled on a different node";
  if (isMirrorPod(pod)) return "node requested token bound to a mirror pod";
  if ((pod.spec.serviceAccountName || "default") !== account)
    return "node requested token bound to a pod running with a different service account";
  const audience = request.audiences[0] ?? "";
  return projectedAudiences(pod).has(audience)
    ? undefined
    : `audience ${JSON.stringify(audience)} not found in pod spec volume`;
}

/** Audiences of the tokens in the pod's volumes; "" stands for the API server's own. */
function projectedAudiences(pod: Pod): Set<string> {
  const sources = (pod.spec.volumes ?? []).flatMap(({ projected }) => projected?.sources ?? []);
  const tokens = sources.map(({ serviceAccountToken }) => asRecord(serviceAccountToken));
  return new Set(tokens.flatMap((token) => (token ? [asText(token["audience"])] : [])));
}

function refuse(fault: string): ReadTokenRequest {
  return { ok: false, fault };
}
