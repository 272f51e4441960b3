import { answerText, contentTypeOf, readBody } from "#cloud/kube-api/http";
import { patchTypeOf } from "#cloud/kube-api/patch";
import type { KindInfo } from "#cloud/kube-api/schema";
import { refusals } from "#cloud/kube-api/status";
import type { Json, JsonObject } from "#shared/json";
import { apiVersionOf } from "#shared/kube";
import { getObject } from "./get.ts";
import {
  objectTarget,
  readWanted,
  showWritten,
  writeOptions,
  type ResourceParts,
  type ResourceRequest,
} from "./resource-request.ts";
import {
  bindPod,
  createAccountToken,
  finalizeNamespace,
  readScale,
  subresourceOf,
  writeScale,
} from "./subresources.ts";
import { evictPod } from "./eviction.ts";
import { changeObject } from "./write.ts";

/** Subresources that have the shape of the object itself: each may change a part of it. */
const shaped = ["status", "approval", "ephemeralcontainers", "resize"] as const;

/** Requests about `status`, `scale`, `binding` … of an object. @throws Refusal */
export async function answerSubresource(parts: ResourceParts, asked: ResourceRequest): Promise<Response> {
  const { kind, target, verb } = asked;
  const sub = subresourceOf(kind, target.subresource);
  if (!sub) throw refusals.unknownResource();
  if (!sub.verbs.includes(verb)) throw refusals.methodNotAllowed();
  await parts.store.settled();
  const via = shaped.find((name) => name === target.subresource);
  if (via !== undefined && verb === "get") return getObject(parts, asked);
  if (via !== undefined) return showWritten(parts, asked, await changeObject(parts, asked, via));
  const object = objectTarget(asked);
  const yaml = readWanted(asked).yaml;
  const body = (): Promise<Json> =>
    readBody(asked.request, { clock: parts.clock, type: { apiVersion: apiVersionOf(sub), kind: sub.kind } });
  const answer = (body: JsonObject, status: number): Response =>
    answerText(JSON.stringify(body), yaml, status, asked.open);
  switch (target.subresource) {
    case "scale":
      return answer(
        verb === "get"
          ? await readScale(parts.subresources, object)
          : await scale(parts, asked, await body()),
        200,
      );
    case "finalize":
      return answer(
        await finalizeNamespace(parts.subresources, object, await body(), writeOptions(asked)),
        200,
      );
    case "binding":
      return bind(parts, asked, await body());
    case "eviction":
      return answer(
        await evictPod(parts.subresources, object, { body: await body(), options: writeOptions(asked) }),
        201,
      );
    case "token":
      return answer(createAccountToken(parts.subresources, object, await body()), 201);
    default:
      throw refusals.serviceUnavailable(`the server does not serve ${kind.plural}/${target.subresource} yet`);
  }
}

async function scale(parts: ResourceParts, asked: ResourceRequest, body: Json): Promise<JsonObject> {
  const type = asked.verb === "patch" ? patchTypeOf(asked.kind, contentTypeOf(asked.request)) : "update";
  return writeScale(parts.subresources, objectTarget(asked), { type, body }, writeOptions(asked));
}

/** Binds a pod, by its subresource or by a Binding of its own. @throws Refusal */
export async function bind(parts: ResourceParts, asked: ResourceRequest, body: Json): Promise<Response> {
  const target = { kind: podKind, namespace: asked.target.namespace, name: asked.target.name };
  const answer = await bindPod(parts.subresources, target, body, writeOptions(asked));
  return answerText(JSON.stringify(answer), false, 201);
}

/** Of a Binding without a pod in its path; a binding reads no more of its kind. */
const podKind = { group: "", version: "v1", kind: "Pod", plural: "pods" } as KindInfo;
