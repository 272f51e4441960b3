import { asText, recordOf } from "#shared/json";
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

/** Credentials for an image out of the text of a `.dockerconfigjson` (or the older `.dockercfg`, its inner part). */
export function findAuth(ref: string, configText: string): RegistryAuth | undefined {
  const config = parseConfig(configText);
  if (!config) return undefined;
  const registry = registryOf(ref);
  for (const [server, entry] of Object.entries(config)) {
    if (hostOf(server) !== registry) continue;
    return authOf(server, recordOf(entry));
  }
  return undefined;
}

/** Credentials by server; undefined when it is no JSON. */
function parseConfig(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const config = recordOf(JSON.parse(text));
    return recordOf(config["auths"] ?? config);
  } catch {
    return undefined;
  }
}

function authOf(server: string, entry: Readonly<Record<string, unknown>>): RegistryAuth {
  const [username = "", ...rest] = Buffer.from(asText(entry["auth"]), "base64").toString().split(":");
  const identitytoken = asText(entry["identitytoken"]);
  return {
    username: asText(entry["username"] ?? username),
    password: asText(entry["password"] ?? rest.join(":")),
    serveraddress: server,
    ...(identitytoken === "" ? {} : { identitytoken }),
  };
}

function hostOf(server: string): string {
  const host = server.replace(/^https?:\/\//, "").split("/")[0] ?? "";
  return host === "index.docker.io" || host === "registry-1.docker.io" ? "docker.io" : host;
}
