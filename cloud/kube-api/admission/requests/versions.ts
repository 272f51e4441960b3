import type { Conversions } from "#cloud/kube-api/custom-resources/conversion";
import { shownObject, toStored } from "#cloud/kube-api/kinds";
import type { KindInfo } from "#cloud/kube-api/schema";
import type { JsonObject } from "#shared/json";
import type { AdmissionRequest } from "./request.ts";

/** A request in another version of its kind, which no webhook has to make. */
export function shownAs(request: AdmissionRequest, kind: KindInfo): AdmissionRequest {
  if (isSame(kind, request.kind)) return request;
  const show = (object: JsonObject | undefined): JsonObject | undefined =>
    object && shownObject(kind, JSON.stringify(object));
  return { ...request, kind, object: show(request.object), old: show(request.old) };
}

/** A request in the version that the rules of a webhook or policy name. @throws Refusal when it cannot be converted */
export async function inVersion(
  conversions: Conversions,
  request: AdmissionRequest,
  kind: KindInfo,
): Promise<AdmissionRequest> {
  if (isSame(kind, request.kind) || !conversions.concern(kind)) return shownAs(request, kind);
  const show = async (object: JsonObject | undefined): Promise<JsonObject | undefined> =>
    object && conversions.object(kind, object);
  return { ...request, kind, object: await show(request.object), old: await show(request.old) };
}

/** What was made of an object in that version, in the version of the request. @throws Refusal when it cannot be converted */
export async function fromVersion(
  conversions: Conversions,
  { kind }: AdmissionRequest,
  { object, seenAs }: { readonly object: JsonObject; readonly seenAs: KindInfo },
): Promise<JsonObject> {
  if (isSame(kind, seenAs)) return object;
  if (conversions.concern(kind)) return conversions.object(kind, object);
  return kind.custom ? shownObject(kind, JSON.stringify(object)) : toStored(seenAs, object);
}

function isSame(one: KindInfo, other: KindInfo): boolean {
  return one.group === other.group && one.version === other.version;
}
