import { refusals } from "#cloud/kube-api/status";

/** What the name in a path of a proxy says (`SplitSchemeNamePort` of apimachinery). */
export interface ProxyName {
  readonly scheme: "http" | "https";
  readonly name: string;
  /** A number or a name; "" for the only one. */
  readonly port: string;
}

/** Reads `name`, `name:port` and `scheme:name:port`. @throws Refusal (BadRequest) */
export function readProxyName(text: string, what: "pod" | "service"): ProxyName {
  const parts = text.split(":");
  const [scheme = "", name = "", port = ""] = parts.length < 3 ? ["", ...parts] : parts;
  if (parts.length > 3 || name === "" || !["", "http", "https"].includes(scheme))
    throw refusals.badRequest(`invalid ${what} request ${JSON.stringify(text)}`);
  return { scheme: scheme === "https" ? "https" : "http", name, port };
}
