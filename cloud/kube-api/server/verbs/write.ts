import { contentTypeOf } from "#cloud/kube-api/http";
import type { Written } from "#cloud/kube-api/objects";
import { patchTypeOf } from "#cloud/kube-api/patch";
import type { UpdateVia } from "#cloud/kube-api/schema";
import { refusals } from "#cloud/kube-api/status";
import { deleteObject } from "./delete.ts";
import {
  objectTarget,
  readWritten,
  showWritten,
  type ResourceParts,
  type ResourceRequest,
} from "./resource-request.ts";

/** Create, update, patch and delete of one object. @throws Refusal */
export async function writeObject(parts: ResourceParts, asked: ResourceRequest): Promise<Response> {
  const { verb, kind } = asked;
  const target = objectTarget(asked);
  const whole = verb === "create";
  if (whole !== (target.name === "") || (kind.namespaced && target.namespace === "")) {
    throw refusals.methodNotAllowed();
  }
  if (whole) {
    const { body, options } = await readWritten(parts, asked);
    return showWritten(parts, asked, await parts.objects.create(target, body, options));
  }
  if (verb === "delete") return deleteObject(parts, asked, target);
  return showWritten(parts, asked, await changeObject(parts, asked, ""));
}

/** Update or patch of an object or, by `via`, of a subresource that has its shape. @throws Refusal */
export async function changeObject(
  parts: ResourceParts,
  asked: ResourceRequest,
  via: UpdateVia,
): Promise<Written> {
  const target = objectTarget(asked);
  const type = asked.verb === "patch" ? patchTypeOf(asked.kind, contentTypeOf(asked.request)) : undefined;
  const read = await readWritten(parts, asked);
  const { body } = read;
  const options = { ...read.options, via };
  if (type === undefined) return parts.objects.update(target, body, options);
  if (type === "apply" && !asked.query.has("fieldManager")) {
    throw refusals.badRequest(
      'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch',
    );
  }
  return parts.objects.patch(target, { type, body }, options);
}
