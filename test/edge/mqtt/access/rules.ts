import type { BrokerConfig } from "#shared/config";

const passwordHash = Bun.password.hashSync("secret", { algorithm: "bcrypt", cost: 4 });

/** All with the password "secret". */
export const users = ["d1", "d2", "admin"].map((name) => ({ name, passwordHash }));

/** `user` undefined: for everybody. */
export function rule(
  topic: string,
  access: "read" | "write" | "readwrite" | "deny",
  user?: string,
): BrokerConfig["acl"][number] {
  return { user, topic, access };
}
