import type { AccessCheck } from "#cloud/kube-api/custom-resources/cel";
import { asText, textOf, textsOf, type JsonObject } from "#shared/json";
import { groupsOfAccount } from "./authenticator.ts";
import type { Authorizer } from "./authorizer.ts";

/** Answers what expressions ask about rights of the author of a request, or of a service account. */
export function accessOf(authorizer: Authorizer, author: JsonObject): AccessCheck {
  return ({ verb, account, path, ...asked }) => {
    const namespace = account?.split(":")[2] ?? "";
    const user =
      account === undefined
        ? { name: textOf(author, "username"), groups: textsOf(author, "groups") }
        : { name: account, groups: [...groupsOfAccount(namespace), "system:authenticated"] };
    if (path !== undefined) return authorizer.allows(user, { verb, path });
    const { group, resource, subresource, name } = asked;
    return authorizer.allows(user, {
      verb,
      group: asText(group),
      resource: asText(resource),
      subresource: asText(subresource),
      namespace: asText(asked.namespace),
      name: asText(name),
    });
  };
}
