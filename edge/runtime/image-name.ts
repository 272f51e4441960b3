import type { RegistryAuth } from "./container-runtime.ts";

/** An image reference with its tag or digest; "latest" when it has neither. */
export function withTag(ref: string): string {
  if (ref.includes("@")) return ref;
  const last = ref.slice(ref.lastIndexOf("/") + 1);
  return last.includes(":") ? ref : `${ref}:latest`;
}

/** The registry an image comes from, as Docker spells it. */
export function registryOf(ref: string): string {
  const slash = ref.indexOf("/");
  const first = slash === -1 ? "" : ref.slice(0, slash);
  const isHost = first.includes(".") || first.includes(":") || first === "localhost";
  return isHost ? first : "docker.io";
}

interface DockerConfig {
  readonly auths?: Record<
    string,
    { username?: string; password?: string; auth?: string; identitytoken?: string }
  >;
}

/** Credentials for an image out of the text of a `.dockerconfigjson` (or the older `.dockercfg`, its inner part). */
export function findAuth(ref: string, configText: string): RegistryAuth | undefined {
  const config = parseConfig(configText);
  if (!config) return undefined;
  const registry = registryOf(ref);
  for (const [server, entry] of Object.entries(config)) {
    if (hostOf(server) !== registry) continue;
    const [username, ...rest] = entry.auth ? Buffer.from(entry.auth, "base64").toString().split(":") : [];
    return {
      username: entry.username ?? username ?? "",
      password: entry.password ?? rest.join(":"),
      serveraddress: server,
      ...(entry.identitytoken ? { identitytoken: entry.identitytoken } : {}),
    };
  }
  return undefined;
}

function parseConfig(text: string): NonNullable<DockerConfig["auths"]> | undefined {
  try {
    const value = JSON.parse(text) as DockerConfig | null;
    if (typeof value !== "object" || value === null) return undefined;
    return value.auths ?? (value as NonNullable<DockerConfig["auths"]>);
  } catch {
    return undefined;
  }
}

function hostOf(server: string): string {
  const host = server.replace(/^https?:\/\//, "").split("/")[0] ?? "";
  return host === "index.docker.io" || host === "registry-1.docker.io" ? "docker.io" : host;
}
