import { answerText, readBody } from "#cloud/kube-api/http";
import { refusals } from "#cloud/kube-api/status";
import { isObject, asText } from "#shared/json";
import { apiVersionOf } from "#shared/kube";
import { note } from "#shared/lifecycle";
import { answerSubresource, bind } from "./answer-subresource.ts";
import { deleteCollection } from "./delete.ts";
import { getObject } from "./get.ts";
import { listObjects } from "./list.ts";
import { readWanted, type ResourceParts, type ResourceRequest } from "./resource-request.ts";
import { review } from "./reviews.ts";
import { watchObjects } from "./watch.ts";
import { writeObject } from "./write.ts";

/** Answers a request about a kind. @throws Refusal */
export async function answerResource(parts: ResourceParts, asked: ResourceRequest): Promise<Response> {
  const { kind, target, verb } = asked;
  if (target.subresource !== "") return answerSubresource(parts, asked);
  if (!kind.verbs.includes(verb)) throw refusals.methodNotAllowed();
  if (!kind.stored && verb !== "create")
    throw refusals.serviceUnavailable("the server is currently unable to handle the request");
  if (!kind.stored) return answerReview(parts, asked);
  await parts.store.settled();
  note(verb, kind.plural);
  switch (verb) {
    case "get":
      return getObject(parts, asked);
    case "list":
      return listObjects(parts, asked);
    case "watch":
      return watchObjects(parts, asked);
    case "deletecollection":
      return deleteCollection(parts, asked);
    default:
      return writeObject(parts, asked);
  }
}

async function answerReview(parts: ResourceParts, asked: ResourceRequest): Promise<Response> {
  const type = { apiVersion: apiVersionOf(asked.kind), kind: asked.kind.kind };
  const body = await readBody(asked.request, { clock: parts.clock, type });
  if (!isObject(body)) throw refusals.badRequest("the body is not an object");
  if (asked.kind.kind === "Binding") {
    const name = isObject(body["metadata"]) ? asText(body["metadata"]["name"]) : "";
    return bind(parts, { ...asked, target: { ...asked.target, resource: "pods", name } }, body);
  }
  const answer = review(
    parts.reviews,
    asked.kind,
    { ...type, ...body },
    {
      user: asked.user,
      namespace: asked.target.namespace,
    },
  );
  return answerText(JSON.stringify(answer), readWanted(asked).yaml, 201, asked.open);
}
