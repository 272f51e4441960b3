import { refusals } from "#cloud/kube-api/status";
import { anonymous, groupsOfAccount, type User } from "./authenticator.ts";
import type { Attributes } from "./authorizer.ts";

/** The user to impersonate, and the permissions that takes. */
export interface Impersonation {
  readonly user: User;
  readonly needs: readonly Extract<Attributes, { resource: string }>[];
}

const extraPrefix = "impersonate-extra-";
const authentication = "authentication.k8s.io";
const authenticated = "system:authenticated";
const unauthenticated = "system:unauthenticated";

interface Asked {
  readonly name: string;
  readonly uid: string;
  readonly groups: readonly string[];
  readonly extra: ReadonlyMap<string, readonly string[]>;
}

/** Reads `Impersonate-*` headers; undefined without any. @throws Refusal when no user is named */
export function readImpersonation(headers: Headers): Impersonation | undefined {
  const asked = {
    name: headers.get("impersonate-user") ?? "",
    uid: headers.get("impersonate-uid") ?? "",
    groups: valuesOf(headers.get("impersonate-group")),
    extra: extraOf(headers),
  };
  if (asked.name !== "") return { user: userOf(asked), needs: needsOf(asked) };
  const without = [
    ...asked.groups.map((group) => `group ${JSON.stringify(group)}`),
    ...[...asked.extra.keys()].map((key) => `extra ${JSON.stringify(key)}`),
    ...(asked.uid === "" ? [] : [`uid ${JSON.stringify(asked.uid)}`]),
  ];
  if (without.length === 0) return undefined;
  throw refusals.badRequest(`requested ${without.join(", ")} without impersonating a user`);
}

function userOf({ name, uid, groups, extra }: Asked): User {
  const account = accountOf(name);
  const given = account && groups.length === 0 ? groupsOfAccount(account.namespace) : groups;
  return {
    name,
    groups: [...given, ...groupOfKnown(name, given)],
    ...(uid !== "" && { uid }),
    ...(extra.size > 0 && { extra: Object.fromEntries(extra) }),
  };
}

function needsOf({ name, uid, groups, extra }: Asked): Impersonation["needs"] {
  const account = accountOf(name);
  const ofExtra = [...extra].flatMap(([key, values]) =>
    values.map((value) => need("userextras", value, { group: authentication, subresource: key })),
  );
  return [
    account ? need("serviceaccounts", account.name, { namespace: account.namespace }) : need("users", name),
    ...groups.map((group) => need("groups", group)),
    ...ofExtra,
    ...(uid === "" ? [] : [need("uids", uid, { group: authentication })]),
  ];
}

function accountOf(name: string): { readonly namespace: string; readonly name: string } | undefined {
  const [, namespace = "", account = ""] = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(name) ?? [];
  return namespace === "" ? undefined : { namespace, name: account };
}

function need(
  resource: string,
  name: string,
  more: { readonly group?: string; readonly subresource?: string; readonly namespace?: string } = {},
): Extract<Attributes, { resource: string }> {
  return { verb: "impersonate", group: "", subresource: "", namespace: "", resource, name, ...more };
}

/** Every user is in one of the two groups, as upstream adds them; a request that names one gets no other. */
function groupOfKnown(name: string, groups: readonly string[]): string[] {
  if (groups.includes(unauthenticated)) return [];
  const group = name === anonymous.name ? unauthenticated : authenticated;
  return groups.includes(authenticated) || groups.includes(group) ? [] : [group];
}

function extraOf(headers: Headers): Map<string, readonly string[]> {
  const found = new Map<string, readonly string[]>();
  for (const [header, value] of headers) {
    if (!header.startsWith(extraPrefix)) continue;
    const key = decoded(header.slice(extraPrefix.length));
    found.set(key, [...(found.get(key) ?? []), ...valuesOf(value)]);
  }
  return found;
}

/** Repeated headers arrive joined by commas; each part of a value that has one needs its own permission. */
function valuesOf(header: string | null): string[] {
  return (header ?? "")
    .split(",")
    .map((value) => value.trim())
    .filter((value) => value !== "");
}

function decoded(key: string): string {
  try {
    return decodeURIComponent(key).toLowerCase();
  } catch {
    return key.toLowerCase();
  }
}
