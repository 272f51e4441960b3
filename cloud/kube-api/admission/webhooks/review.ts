import { describedRequest, type AdmissionRequest } from "#cloud/kube-api/admission/requests";
import { Refusal } from "#cloud/kube-api/status";
import {
  childOf,
  isObject,
  numberOf,
  textOf,
  textsOf,
  tryJson,
  type Json,
  type JsonObject,
} from "#shared/json";

const apiVersion = "admission.k8s.io/v1";
/**
 * The body of a call, an AdmissionReview (admission.k8s.io/v1). @param seen the request in the version that the webhook asks for
 */
export function reviewOf(request: AdmissionRequest, seen: AdmissionRequest, uid: string): JsonObject {
  const { kind, object = null, old = null } = seen;
  const described = { uid, ...describedRequest(request, kind), object, oldObject: old };
  return { apiVersion, kind: "AdmissionReview", request: described };
}

export interface ReviewAnswer {
  /** A JSON patch, of a mutating webhook. */
  readonly patch: Json | undefined;
  readonly warnings: readonly string[];
}

/**
 * What a webhook answered. @throws Refusal when it denies the request, Error when the answer cannot be used: the failure policy
 * decides then
 */
export function readAnswer(
  text: string,
  { uid, name }: { readonly uid: string; readonly name: string },
): ReviewAnswer {
  const review = tryJson(text);
  const response = isObject(review) ? childOf(review, "response") : undefined;
  if (!response) throw new Error("webhook response was absent");
  if (textOf(response, "uid") !== uid)
    throw new Error(
      `expected response.uid=${JSON.stringify(uid)}, got ${JSON.stringify(textOf(response, "uid"))}`,
    );
  const warnings = textsOf(response, "warnings");
  if (response["allowed"] !== true) throw denial(name, childOf(response, "status"), warnings);
  const patch = textOf(response, "patch");
  if (patch === "") return { patch: undefined, warnings };
  if (response["patchType"] !== "JSONPatch") throw new Error("webhook response has no patchType JSONPatch");
  const parsed = tryJson(Buffer.from(patch, "base64").toString("utf8"));
  if (parsed === undefined) throw new Error("webhook response has a patch that is not JSON");
  return { patch: parsed, warnings };
}

function denial(name: string, status: JsonObject | undefined, warnings: readonly string[]): Denial {
  const said = textOf(status, "message") || textOf(status, "reason");
  const start = `admission webhook ${JSON.stringify(name)} denied the request`;
  const message = said === "" ? `${start} without explanation` : `${start}: ${said}`;
  const code = numberOf(status, "code") ?? 0;
  const reason = textOf(status, "reason");
  return new Denial(message, { reason, code: code >= 400 ? code : 400, warnings });
}

/** A webhook's own no, which no failure policy overrides. */
export class Denial extends Refusal {
  readonly warnings: readonly string[];

  constructor(
    message: string,
    {
      reason,
      code,
      warnings,
    }: { readonly reason: string; readonly code: number; readonly warnings: readonly string[] },
  ) {
    super({ status: "Failure", message, ...(reason !== "" && { reason }), code });
    this.warnings = warnings;
  }
}
