import type { RequestTarget } from "#cloud/kube-api/http";
import { refusals } from "#cloud/kube-api/status";
import type { Authenticator, Peer, User } from "./authenticator.ts";
import type { Attributes, Authorizer } from "./authorizer.ts";
import { readImpersonation } from "./impersonation.ts";

export interface AccessParts {
  readonly authenticator: Authenticator;
  readonly authorizer: Authorizer;
}

export type ResourceAttributes = Extract<Attributes, { resource: string }>;

/** What shows who sent a request. */
export interface Credentials {
  readonly headers: Headers;
  /** Of the connection that it came over. */
  readonly peer: Peer | undefined;
}

/** Who sent a request, whomever it impersonates. @throws Refusal (Unauthorized) */
export function senderOf(parts: Pick<AccessParts, "authenticator">, shown: Credentials): User {
  const user = parts.authenticator.identify(shown.headers.get("authorization"), shown.peer);
  if (!user) throw refusals.unauthorized();
  return user;
}

/** The user of a request: of its credential, or the one that it impersonates (`kubectl --as`). @throws Refusal (Unauthorized, Forbidden) */
export function requesterOf(parts: AccessParts, shown: Credentials): User {
  const user = senderOf(parts, shown);
  const impersonation = readImpersonation(shown.headers);
  if (!impersonation) return user;
  for (const wanted of impersonation.needs) authorize(parts, user, wanted);
  return { ...impersonation.user, ...(user.expiresMs !== undefined && { expiresMs: user.expiresMs }) };
}

const selectedByName = new Set(["list", "watch", "deletecollection"]);

/** The attributes that RBAC decides by; a request for a collection that selects one name is about that name. */
export function attributesOf(
  target: RequestTarget,
  verb: string,
  fieldSelector: string | null,
): ResourceAttributes {
  const { group, resource, subresource } = target;
  const one = target.name === "" && selectedByName.has(verb) ? nameIn(fieldSelector ?? "") : "";
  const name = target.name === "" ? one : target.name;
  const namespace = resource === "namespaces" && group === "" ? target.name : target.namespace;
  return { verb, group, resource, subresource, name, namespace };
}

/** The name that a field selector requires; none for selectors with escapes, which other parsers could read differently. */
function nameIn(selector: string): string {
  if (selector.includes("\\")) return "";
  const terms = selector
    .split(",")
    .map((term) => /^metadata\.name==?([A-Za-z0-9][-A-Za-z0-9._:]*)$/.exec(term));
  return terms.find((term) => term !== null)?.[1] ?? "";
}

/** @throws Refusal (Forbidden) */
export function authorize(
  parts: Pick<AccessParts, "authorizer">,
  user: User,
  wanted: ResourceAttributes,
): void {
  if (parts.authorizer.allows(user, wanted)) return;
  const { verb, group, resource, subresource, namespace, name } = wanted;
  const where = namespace === "" ? "at the cluster scope" : `in the namespace "${namespace}"`;
  const full = subresource === "" ? resource : `${resource}/${subresource}`;
  const why = `User "${user.name}" cannot ${verb} resource "${full}" in API group "${group}" ${where}`;
  throw refusals.forbidden({ group, plural: resource }, name, why);
}

/** @throws Refusal (Forbidden) */
export function authorizePath(
  parts: Pick<AccessParts, "authorizer">,
  user: User,
  method: string,
  path: string,
): void {
  const verb = method === "HEAD" ? "get" : method.toLowerCase();
  if (parts.authorizer.allows(user, { verb, path })) return;
  throw refusals.forbiddenPath(`User "${user.name}" cannot ${verb} path "${path}"`);
}
