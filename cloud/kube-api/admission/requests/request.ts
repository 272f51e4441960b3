import { dynamicValue } from "#cloud/kube-api/custom-resources/cel";
import type { KindInfo } from "#cloud/kube-api/schema";
import type { JsonObject } from "#shared/json";

/** A write as admission sees it, in the form that is stored. */
export interface AdmissionRequest {
  readonly kind: KindInfo;
  readonly namespace: string;
  readonly name: string;
  readonly operation: "CREATE" | "UPDATE" | "DELETE" | "CONNECT";
  /** "" for the object itself */
  readonly subresource: string;
  readonly object: JsonObject | undefined;
  readonly old: JsonObject | undefined;
  readonly dryRun: boolean;
  readonly author: JsonObject;
}

const optionKinds: Readonly<Record<AdmissionRequest["operation"], string | undefined>> = {
  CREATE: "CreateOptions",
  UPDATE: "UpdateOptions",
  DELETE: "DeleteOptions",
  // Its options are the object.
  CONNECT: undefined,
};

/** An AdmissionRequest (admission.k8s.io/v1) without the objects. @param kind the version in which they are shown */
export function describedRequest(request: AdmissionRequest, kind: KindInfo): JsonObject {
  const { namespace, name, operation, subresource, dryRun, author } = request;
  const optionKind = optionKinds[operation];
  return {
    kind: typeOf(kind),
    resource: resourceOf(kind),
    requestKind: typeOf(request.kind),
    requestResource: resourceOf(request.kind),
    ...(subresource !== "" && { subResource: subresource, requestSubResource: subresource }),
    name,
    ...(namespace !== "" && { namespace }),
    operation,
    userInfo: author,
    dryRun,
    options: optionKind === undefined ? null : { apiVersion: "meta.k8s.io/v1", kind: optionKind },
  };
}

function typeOf({ group, version, kind }: KindInfo): JsonObject {
  return { group, version, kind };
}

function resourceOf({ group, version, plural }: KindInfo): JsonObject {
  return { group, version, resource: plural };
}

/** The variables of expressions about a request. @param seen in the version that the rules name */
export function requestValues(request: AdmissionRequest, seen: AdmissionRequest): Record<string, unknown> {
  const { object, old } = seen;
  const described = { subResource: "", namespace: "", ...describedRequest(request, seen.kind) };
  return {
    object: object ? dynamicValue(object) : null,
    oldObject: old ? dynamicValue(old) : null,
    request: dynamicValue(described),
  };
}
