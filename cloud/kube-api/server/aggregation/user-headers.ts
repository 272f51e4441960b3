import type { User } from "#cloud/kube-api/auth";

/** The header fields that name the user to an aggregated server, which believes the client with the right certificate. */
export function userHeaders(user: User): [name: string, value: string][] {
  const extra = Object.entries(user.extra ?? {}).flatMap(([key, values]) =>
    values.map((value): [string, string] => [`x-remote-extra-${escaped(key)}`, asBytes(value)]),
  );
  return [
    ["x-remote-user", asBytes(user.name)],
    ...(user.uid === undefined ? [] : [["x-remote-uid", asBytes(user.uid)] as [string, string]]),
    ...user.groups.map((group): [string, string] => ["x-remote-group", asBytes(group)]),
    ...extra,
  ];
}

/** Whether a header field says who asks, or claims to. */
export function isIdentityHeader(name: string): boolean {
  return name === "authorization" || name.startsWith("x-remote-") || name.startsWith("impersonate-");
}

/** Header fields have bytes; those of UTF-8 are what Go's server reads. @throws Error for line breaks, which would begin another field */
function asBytes(text: string): string {
  if (/\p{Cc}/u.test(text)) throw new Error("the name of a user or group has control characters");
  return Buffer.from(text, "utf8").toString("latin1");
}

function escaped(key: string): string {
  return encodeURIComponent(key.toLowerCase()).replaceAll(
    /[!'()*~]/g,
    (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
